"""Labelled records: what is an example, what has no label, what cannot be used; each is counted and told."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from components.finetuning import labelled
from components.finetuning.config import configured
from components.lib import tasks
from components.lib.core.errors import ConfigErrors, DataError, MissingError
from components.lib.modalities.text import word_windows
from components.lib.modalities.text.labelled import Reader
from components.lib.tasks import token_classification
from tests import made
from tests.made.corpora import topics

READER = Reader(SimpleNamespace(model_max_length=64))
GOOD = [{"text": text, "label": topic} for topic, text in topics(60, seed=1)]
TEST = [{"text": text, "label": topic} for topic, text in topics(30, seed=2)]


def frozen(folder, train, test=TEST, reader=READER, **settings):
    """The data of a study; `train` may be a file instead of records."""
    sources = {} if isinstance(train, list) else {"train": {"source": str(train)}}
    for name, rows in (("train", train), ("test", test)):
        if name in sources:
            continue
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources[name] = {"source": str(folder / f"{name}.jsonl")}
    given = {"task": "made", "modality": "text", "label_counts": [10], **sources, **settings}
    config = configured(given, "tasks.made.finetuning")
    return labelled.frozen(config, tasks.load(config.kind), reader)


def told(data, *words: str) -> bool:
    """Whether one notice has all the words."""
    return any(all(word in notice for word in words) for notice in data.notices)


NO_LABEL = {"no key": {}, "null": {"label": None}, "blank": {"label": " "}, "a word": {"label": "None"}}
NO_LABEL |= {"not a number": {"label": float("nan")}}
UNUSABLE = {
    "no input": {"label": "x"},
    "a list": {"text": "a", "label": ["x"]},
    "empty": {"text": " ", "label": "x"},
}
UNUSABLE |= {"a fraction": {"text": "a", "label": 0.5}, "half a character": {"text": "a", "label": "\ud83d"}}


@pytest.mark.parametrize("name", NO_LABEL)
def test_records_without_a_label_are_left_out_whatever_the_budget(tmp_path, name):
    data = frozen(
        tmp_path, [*GOOD, *({"text": f"a {i}", **NO_LABEL[name]} for i in range(40))], reject_budget=0
    )
    assert data.counts["train"] == 60 and data.counts["unlabelled"] == 40 and len(data.classes) == 3
    assert told(data, "train", "40 of 100 records", "no label") and not data.train.rejected["broken"]


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_record_that_cannot_be_used_costs_that_record(tmp_path, name):
    data = frozen(tmp_path, [UNUSABLE[name], *GOOD], reject_budget=0.02)
    assert data.counts["train"] == 60 and len(data.train.rejected["broken"]) == 1
    assert told(data, "train", "1 of 61 records cannot be used")
    with pytest.raises(DataError, match="1 of 61") as caught:
        frozen(tmp_path, [UNUSABLE[name], *GOOD], reject_budget=0)
    assert caught.value.where.endswith("train.jsonl:1")


@pytest.mark.parametrize("key", ["text", "label"])
def test_a_field_that_no_record_has_is_told_with_those_they_have(tmp_path, key):
    with pytest.raises(MissingError, match=f"no field '{key}'") as caught:
        frozen(tmp_path, [{other: row[other] for other in row if other != key} for row in GOOD])
    assert caught.value.fix == f"known: {'label' if key == 'text' else 'text'}"


def test_labelled_texts_pass_the_cleaning_of_the_corpus(tmp_path):
    """One that differs from a test text by what cleaning evens out is not trained on."""
    text = "caf\u00e9  noir\nau lait"
    others = [
        " cafe\u0301 noir au\tlait ",
        "caf\u00e9 noir\r\nau lait\x00",
        "\ufeffcaf\u00e9 noir au la\ud83dit",
    ]
    train = [*GOOD, *({"text": other, "label": GOOD[0]["label"]} for other in others)]
    data = frozen(tmp_path, train, [*TEST, {"text": text, "label": GOOD[0]["label"]}])
    assert data.counts["train_also_in_test"] == 3 and data.counts["train"] == 60
    assert told(data, "2 records", "were removed")
    for split in (data.train, data.test):
        assert "".join(split.inputs["text"]).encode()
    assert READER.served(others)[1] == "caf\u00e9 noir\nau lait"


def test_numbers_of_two_files_are_one_class(tmp_path):
    numbers = {name: place for place, name in enumerate(sorted({row["label"] for row in GOOD}))}
    for kind in (float, int, str, lambda number: f"{number}.0"):
        train = [{**row, "label": kind(numbers[row["label"]])} for row in GOOD]
        data = frozen(tmp_path, train, [{**row, "label": float(numbers[row["label"]])} for row in TEST])
        assert data.classes == ["0", "1", "2"]


def test_classes_that_look_alike_are_told_also_where_one_is_not_trained_on(tmp_path):
    extra = [{"text": "a b c", "label": "caf\u00e9"}, {"text": "a b d", "label": "cafe\u0301"}]
    data = frozen(tmp_path, [*GOOD, *extra, {"text": "x", "label": "none"}])
    assert told(data, "look alike", "\\xe9") and told(data, "no label", "none")
    with pytest.raises(DataError, match="never trained on") as caught:
        frozen(tmp_path, [*GOOD, extra[0]], [*TEST, extra[1]])
    assert "look alike" in caught.value.fix


def test_words_that_mean_no_label_can_be_classes(tmp_path):
    rows = [*GOOD, {"text": "a b c", "label": "None"}]
    assert "None" not in frozen(tmp_path, rows).classes
    assert "None" in frozen(tmp_path, rows, missing=[]).classes


@pytest.mark.parametrize(
    ("wanted", "words"),
    [((10, 5000), ["60 examples", "5000"]), ((1,), ["share", "60"]), ((0.5, 60), [])],
)
def test_label_counts_that_are_not_what_they_seem_are_told(wanted, words):
    notices = labelled.counts_told(SimpleNamespace(label_counts=wanted), 60)
    assert len(notices) == bool(words) and all(word in notices[0] for word in words)


def test_entities_beyond_a_window_are_in_another_and_none_leaves_the_count(monkeypatch):
    """Words that hold nothing, or are beyond all that is read, are O: their spans are misses."""
    one = made.branch("token_classification", "text", "modernbert")
    reader = type(one.reader)(one.reader.tokenizer)
    reader.length = 12
    words = one.inputs["text"][0][:4]
    words = [words[0], "", *words[1:], *words * 10]
    labels = ["O", "O", "B-X", "I-X", *["O"] * (len(words) - 6), "B-X", "I-X"]
    names = ["O", "B-X", "I-X"]

    def encoded():
        return token_classification.encode(reader, {"text": [words, ["a"]]}, [labels, ["O"]], names)

    samples = encoded()
    assert not any(samples.cut) and samples.many[0] > 5 and samples.many[1] == 1
    assert max(map(len, samples.rows.ids)) == 12 and len(samples.subset([1]).windows()[0]) == 1
    rows, _ = samples.windows()
    right = samples.answers([np.maximum(row, 0) for row in rows.targets], 0)  # all that is read is right
    for text, kinds, known in ((words, labels, right[0]), (["a"], ["O"], right[1])):
        assert [names[kind] for kind in known] == kinds and len(known) == len(text)
    assert samples.words[0][1].tolist() == [0, -1, -1]  # the word that holds nothing
    counted = sum(np.sum(np.array(row) != -100) for row in rows.targets)
    assert counted == len(words) - 1 + 1  # each word in one window alone
    monkeypatch.setattr(word_windows, "LONGEST", 30)
    samples = encoded()
    assert list(samples.cut) == [True, False]
    beyond = samples.answers([np.maximum(row, 0) for row in samples.windows()[0].targets], 0)[0]
    named = [names[kind] for kind in beyond]
    assert named[2:4] == ["B-X", "I-X"] and named[-2:] == ["O", "O"] and len(named) == len(words)
    assert token_classification._compare(labels, named)[:3] == (1, 0, 1)


def test_a_split_without_its_training_half_keeps_what_was_left_out(tmp_path):
    data = frozen(tmp_path, GOOD, [*TEST, {"text": "a", "label": None}])
    assert data.counts["unlabelled"] == 1 and dataclasses.asdict(data)["notices"]


def test_what_is_guessed_of_a_file_is_told_and_the_lines_of_a_broken_record_count(tmp_path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "a.csv"
    (file.parent / "README.md").write_text("about\n")
    rows = "text;label\n" + "".join(f"{row['text']};{row['label']}\n" for row in GOOD)
    file.write_text(rows + '"' + "one line\n" * 20 + '" and more;x\n')
    data = frozen(tmp_path, file.parent, reject_budget=0.3)
    assert data.counts["train"] == 60 and told(data, "semicolons between columns")
    assert told(data, "passed over", "README.md")
    with pytest.raises(DataError, match="1 of 61 labelled records, 21 of 81 lines, cannot be used"):
        frozen(tmp_path, file, reject_budget=0.05)


def test_classes_of_a_data_set_of_hugging_face_have_their_names(tmp_path):
    """-1 is its number for no label."""
    features = {"label": {"names": list("abc"), "_type": "ClassLabel"}}
    table = pa.table({"text": [row["text"] for row in GOOD], "label": [-1, *([0, 1, 2] * 20)[1:]]})
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(described), tmp_path / "a.parquet")
    test = [row | {"label": "abc"[i % 3]} for i, row in enumerate(TEST)]
    data = frozen(tmp_path, tmp_path / "a.parquet", test, reject_budget=0)
    assert data.classes == list("abc") and data.counts["unlabelled"] == 1 and data.counts["train"] == 59


@pytest.mark.parametrize("share", [1.0, 0.02])
def test_what_cannot_be_read_is_sampled_as_what_can(tmp_path, share):
    """8 of 4,008 lines are not JSON: far below the limit of 1 %, whatever share of them is read."""
    rows = [json.dumps({"text": text, "label": topic}) + "\n" for topic, text in topics(4000, seed=3)]
    for place in range(8):
        rows.insert(place * 500, "{no json\n")
    (tmp_path / "many.jsonl").write_text("".join(rows))
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOOD))
    train, test = ({"source": str(tmp_path / f"{name}.jsonl")} for name in ("train", "many"))
    given = {"task": "made", "modality": "text", "label_counts": [10], "reject_budget": 0.05}
    config = configured({**given, "train": train, "test": {**test, "share": share}}, "tasks.made.finetuning")
    data = labelled.frozen(config, tasks.load(config.kind), READER)
    broken = len(data.train.rejected["broken"])
    read = data.counts["test_available"] + broken
    assert read == pytest.approx(4008 * share, rel=0.3) and broken <= 8 * share + 2


def sliced(records, **more):
    """Test records with fields beside."""
    return [one | {name: value(i) for name, value in more.items()} for i, one in enumerate(records)]


def test_slices_are_what_test_records_say_and_how_long_they_are(tmp_path):
    given = sliced(TEST, language=lambda i: ("de", "en", None, 7.0)[i % 4])
    data = frozen(tmp_path, GOOD, given, slices=["language", "length"])
    words = {one["text"]: len(one["text"].split()) for one in TEST}
    said = {one["text"]: str(one["language"]).replace("None", "(none)").replace("7.0", "7") for one in given}
    assert data.test.slices["length"] == [words[text] for text in data.test.inputs["text"]]
    assert data.test.slices["language"] == [said[text] for text in data.test.inputs["text"]]
    assert not any("slices" in notice for notice in data.notices)


def test_a_slice_that_no_record_has_is_refused_and_one_of_many_values_told(tmp_path):
    with pytest.raises(MissingError, match="did you mean 'language'") as caught:
        frozen(tmp_path, GOOD, sliced(TEST, language=str), slices=["langage"])
    assert "slices: langage" in caught.value.where
    some = sliced(TEST[:1], source=str) + TEST[1:]
    assert frozen(tmp_path, GOOD, some, slices=["source"]).test.slices["source"].count("(none)") == 29
    many = frozen(tmp_path, GOOD, sliced(TEST, user=lambda i: f"user {i}"), slices=["user"])
    assert told(many, "'user' has 30 values", "the 20 with the most examples")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"slices": ["a", "a"]}, "named twice"), ({"modality": "image", "slices": ["length"]}, "no length")],
)
def test_slices_that_cannot_be_are_refused_before_work(tmp_path, settings, said):
    with pytest.raises(ConfigErrors, match=said):
        frozen(tmp_path, GOOD, **settings)
