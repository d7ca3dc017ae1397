"""The matrix of labelled data that cannot be used: told before anything is trained, or set aside."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.finetuning.config import configured
from components.finetuning.run import run
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.bad_input.broken import table
from tests.bad_input.refusal import DAMAGE, MISSING, SETTING, Row, judge, rows
from tests.made.corpora import topic_tokens, topics

HEAD = "text,label\n"
GOOD = HEAD + "".join(f"{text},{topic}\n" for topic, text in topics(60, seed=1))
TEST = HEAD + "".join(f"{text},{topic}\n" for topic, text in topics(30, seed=2))
TOKENS = {"kind": "token_classification"}
WORDS = [{"text": ["the", "sea", str(i)], "label": ["O", "B-X", "O"]} for i in range(30)]


def register(trunk: Manifest, folder: Path) -> None:
    """Writes registered.json."""
    key = Key("registration", 1, {}, {"trunk": trunk.reference})
    Manifest(key, "", ()).write(folder / "registered.json")


def trunk_of(store: Store, tokens: Manifest, tokenizer: Path) -> Manifest:
    """A trunk that is but a tokenizer and a config: labels are judged before weights are read."""
    with store.draft(Key("pretraining", 1, {}, {"tokens": tokens.reference})) as draft:
        for file in sorted(tokenizer.iterdir()):
            draft.write(f"model/{file.name}", file.read_bytes())
        if not (tokenizer / "config.json").exists():
            draft.write("model/config.json", '{"model_type": "modernbert"}')
        draft.facts = {"modality": "text"}
        return draft.commit()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a registered trunk."""
    folder = tmp_path_factory.mktemp("ground")
    context, path = topic_tokens(folder, 300)
    store, tokens = context.store, artifacts.read(path)
    register(trunk_of(store, tokens, store.open_folder(tokens, "tokenizer/")), folder)
    return folder


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def csv(rows: str, what: str, where: str = "train.csv:2", **options: Any) -> Row:
    """A training file of these rows under a header."""
    return Row(("train.csv", HEAD + rows), what, where, **options)


def record(what: str, **changes: Any) -> Row:
    """One record that is not as it should be."""
    return Row(("train.jsonl", lines({"text": "a", "label": "x", **changes})), what, "train.jsonl:1")


def sentences(what: str, **changes: Any) -> Row:
    """Good sentences, and bad ones behind them."""
    bad = [{**WORDS[0], **changes}] * 5
    return Row(("train.jsonl", lines(*WORDS, *bad)), what, "train.jsonl:31", settings=TOKENS)


NAN = table({"text": ["a"], "label": [float("nan")]})
CUT = b"\x1f\x8b\x08"
NO_SPAN = lines(*({**row, "label": ["O"] * 3} for row in WORDS))
REFUSED = {  # name and content of the training file
    "no such file": Row(("", ""), "does not exist", "train.csv", MISSING),
    "no record": csv("", "no labelled records", "train.csv"),
    "an empty file": Row(("train.csv", ""), "no labelled records", "train.csv"),
    "no label column": Row(("train.csv", "text,labl\na,x\nb,y\n"), "did you mean 'labl'", "csv:2", MISSING),
    "no text column": Row(("train.csv", "txt,label\na,x\nb,y\n"), "did you mean 'txt'", "csv:2", MISSING),
    "one class": csv("a,x\nb,x\n", "too few classes", "tasks.topics.train"),
    "empty labels": csv("a,\nb,\nc,None\n", "there is no label: ''"),
    "empty texts": csv(",x\nb,y\nc,x\n", "the text is empty"),
    "a class of test alone": csv("a,x\nb,y\n", "never trained on", "tasks.topics"),
    "the test split again": Row(("train.csv", TEST), "in the test split", "tasks.topics"),
    "null labels": record("there is no label: None", label=None),
    "numbers with a point": record("not a class: 0.5", label=0.5),
    "NaN labels": Row(("train.parquet", NAN), "there is no label: nan", "parquet:1"),
    "several labels": record("not a class: ['x'", label=["x", "y"]),
    "texts that are numbers": record("the input is not text: 3", text=3),
    "broken JSON": Row(("train.jsonl", '{"text": oops\n'), "not JSON", "train.jsonl:1"),
    "a cut file": Row(("train.csv.gz", CUT), "broken or cut short", "train.csv.gz"),
    "no words": sentences("no words", text=[]),
    "a text where words are due": sentences("no words", text="a b c"),
    "fewer labels than words": sentences("3 words, 1 labels", label=["O"]),
    "one label for all words": sentences("3 words, no labels", label="O"),
    "labels without B and I": sentences("not IOB2: PER", label=["PER"] * 3),
    "labels of another notation": sentences("not IOB2: S-X", label=["S-X"] * 3),
    "labels that are null": sentences("not IOB2: None", label=[None] * 3),
    "words that are null": sentences("not a string: None", text=[None] * 3),
    "no span at all": Row(("train.jsonl", NO_SPAN), "too few classes", settings=TOKENS),
    "a trunk on other data": Row(
        ("train.csv", GOOD), "another kind of data", "modality", SETTING, {"modality": "image"}
    ),
}


def refuse(refused: Any, ground: Path, folder: Path, **settings: Any) -> dict[str, Any]:
    """The error of the stage; training and test data are in `folder`, unless settings say otherwise."""
    sources = {split: {"source": str(folder / f"{split}.csv")} for split in ("train", "test")}
    study = {"task": "topics", "label_counts": [12], "seeds": [0], "modality": "text"}
    config = configured({**study, **sources, **settings}, "tasks.topics")

    def work(context: Context) -> None:
        run(config, context, registered=ground / "registered.json", branch=folder / "branch.json")

    error: dict[str, Any] = refused("finetuning", work, ground / "store")
    assert not (folder / "branch.json").exists()
    return error


@rows(REFUSED)
def test_labels_that_cannot_be_used(refused, ground, tmp_path, row):
    name, content = row.given
    if name:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (tmp_path / "test.csv").write_text(TEST)
    (tmp_path / "test.jsonl").write_text(lines(*WORDS[:9]))
    test = tmp_path / ("test.jsonl" if row.settings is TOKENS else "test.csv")
    sources = {"train": {"source": str(tmp_path / (name or "train.csv"))}, "test": {"source": str(test)}}
    judge(refuse(refused, ground, tmp_path, **sources, **row.settings), row)


def test_an_empty_test_split(refused, ground, tmp_path):
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "test.csv").write_text(HEAD)
    judge(refuse(refused, ground, tmp_path), Row("", "no labelled records", "tasks.topics.test"))


def test_a_tokenizer_that_is_not_the_trunks(refused, ground, tmp_path):
    """The lineage is checked by what the tokenizer does, not by what it is called."""
    folder = tmp_path / "ground"
    shutil.copytree(ground, folder)
    store = Store(str(folder / "store"))
    trunk = store.resolve(artifacts.read(folder / "registered.json").key.inputs["trunk"])
    tokens = store.resolve(trunk.key.inputs["tokens"])
    with store.draft(Key("tokenization", 1, {"other": True})) as draft:
        draft.facts = {**tokens.facts, "probes": [[text, ids[::-1]] for text, ids in tokens.facts["probes"]]}
        other = draft.commit()
    register(trunk_of(store, other, store.open_folder(trunk, "model/")), folder)
    for split, text in (("train", GOOD), ("test", TEST)):
        (tmp_path / f"{split}.csv").write_text(text)
    error = refuse(refused, folder, tmp_path)
    judge(error, Row("", "not the one that made the tokens", "probe", DAMAGE))
