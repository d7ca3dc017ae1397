"""The matrix of labelled data that cannot be used: told before anything is trained, or set aside."""

from __future__ import annotations

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
from tests.bad_input.refusal import DAMAGE, DATA, MISSING, SETTING, Kind, judge
from tests.components import corpora

HEAD = "text,label\n"
GOOD = HEAD + "".join(f"{text},{topic}\n" for topic, text in corpora.documents(60, seed=1))
TEST = HEAD + "".join(f"{text},{topic}\n" for topic, text in corpora.documents(30, seed=2))
TOKENS = {"kind": "token_classification"}
WORDS = [{"text": ["the", "sea", str(i)], "label": ["O", "B-X", "O"]} for i in range(30)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registered trunk that is but a tokenizer and a config: labels are judged before weights are read."""
    folder = tmp_path_factory.mktemp("ground")
    context, path = corpora.tokens(folder, 300)
    tokens = artifacts.read(path)
    with context.store.draft(Key("pretraining", 1, {}, {"tokens": tokens.reference})) as draft:
        shutil.copytree(context.store.open_folder(tokens, "tokenizer/"), draft.folder / "model")
        (draft.folder / "model" / "config.json").write_text('{"model_type": "modernbert"}')
        for file in sorted((draft.folder / "model").iterdir()):
            draft.add(f"model/{file.name}")
        draft.facts = {"modality": "text"}
        trunk = draft.commit()
    Manifest(Key("registration", 1, {}, {"trunk": trunk.reference}), "", ()).write(folder / "registered.json")
    return folder


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def one(**changes: Any) -> str:
    return lines({"text": "a", "label": "x", **changes})


def labelled(**changes: Any) -> str:
    """Good sentences, and some bad ones among them."""
    return lines(*WORDS, *({**WORDS[0], **changes} for _ in range(5)))


NAN = table({"text": ["a"], "label": [float("nan")]})
CSV, JSONL = "train.csv", "train.jsonl"
# id: name of the training file, its content, settings, kind of error, what it says, where
REFUSED: dict[str, tuple[str, str | bytes, dict[str, Any], Kind, str, str]] = {
    "no such file": ("", "", {}, MISSING, "does not exist", "train.csv"),
    "no record": (CSV, HEAD, {}, DATA, "no labelled records", "train.csv"),
    "an empty file": (CSV, "", {}, DATA, "no labelled records", "train.csv"),
    "no label column": (CSV, "text,labl\na,x\nb,y\n", {}, MISSING, "did you mean 'labl'", "train.csv:2"),
    "no text column": (CSV, "txt,label\na,x\nb,y\n", {}, MISSING, "did you mean 'txt'", "train.csv:2"),
    "one class": (CSV, HEAD + "a,x\nb,x\n", {}, DATA, "too few classes", "tasks.topics.train"),
    "empty labels": (CSV, HEAD + "a,\nb,y\nc,x\n", {}, DATA, "not a class: ''", "train.csv:2"),
    "empty texts": (CSV, HEAD + ",x\nb,y\nc,x\n", {}, DATA, "the text is empty", "train.csv:2"),
    "a class of test alone": (CSV, HEAD + "a,x\nb,y\n", {}, DATA, "never trained on", "tasks.topics"),
    "the test split again": (CSV, TEST, {}, DATA, "in the test split", "tasks.topics"),
    "null labels": (JSONL, one(label=None), {}, DATA, "not a class: None", "jsonl:1"),
    "numbers with a point": (JSONL, one(label=0.5), {}, DATA, "not a class: 0.5", "jsonl:1"),
    "NaN labels": ("train.parquet", NAN, {}, DATA, "not a class: nan", "parquet:1"),
    "several labels": (JSONL, one(label=["x", "y"]), {}, DATA, "not a class: ['x'", "jsonl:1"),
    "texts that are numbers": (JSONL, one(text=3), {}, DATA, "the input is no text: 3", "jsonl:1"),
    "broken JSON": (JSONL, '{"text": oops\n', {}, DATA, "not JSON", "train.jsonl:1"),
    "a cut file": ("train.csv.gz", b"\x1f\x8b\x08", {}, DATA, "broken or cut short", "train.csv.gz"),
    "no words": (JSONL, labelled(text=[]), TOKENS, DATA, "no words", "train.jsonl:31"),
    "a text where words are due": (JSONL, labelled(text="a b c"), TOKENS, DATA, "no words", "train.jsonl:31"),
    "fewer labels than words": (JSONL, labelled(label=["O"]), TOKENS, DATA, "3 words, 1 labels", "jsonl:31"),
    "one label for all words": (JSONL, labelled(label="O"), TOKENS, DATA, "3 words, no labels", "jsonl:31"),
    "labels without B and I": (JSONL, labelled(label=["PER"] * 3), TOKENS, DATA, "not IOB2: PER", "jsonl:31"),
    "labels of another notation": (JSONL, labelled(label=["S-X"] * 3), TOKENS, DATA, "not IOB2: S-X", ":31"),
    "labels that are null": (JSONL, labelled(label=[None] * 3), TOKENS, DATA, "not IOB2: None", "jsonl:31"),
    "words that are null": (JSONL, labelled(text=[None] * 3), TOKENS, DATA, "no word: None", "jsonl:31"),
    "no span at all": (
        JSONL, lines(*({**row, "label": ["O"] * 3} for row in WORDS)), TOKENS, DATA, "too few classes", "",
    ),
    "a trunk on other data": (CSV, GOOD, {"modality": "image"}, SETTING, "another kind of data", "modality"),
}  # fmt: skip


def refuse(refused: Any, ground: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    config = configured(
        {"task": "topics", "modality": "text", "label_counts": [12], "seeds": [0], **settings}, "tasks.topics"
    )

    def work(context: Context) -> None:
        run(config, context, registered=ground / "registered.json", branch=folder / "branch.json")

    error: dict[str, Any] = refused("finetuning", work, ground / "store")
    assert not (folder / "branch.json").exists()
    return error


@pytest.mark.parametrize("row", REFUSED)
def test_labels_that_cannot_be_used(refused, ground, tmp_path, row):
    name, content, settings, kind, what, where = REFUSED[row]
    if name:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (tmp_path / "test.csv").write_text(TEST)
    (tmp_path / "test.jsonl").write_text(lines(*WORDS[:9]))
    test = tmp_path / ("test.jsonl" if settings is TOKENS else "test.csv")
    sources = {"train": {"source": str(tmp_path / (name or CSV))}, "test": {"source": str(test)}}
    judge(refuse(refused, ground, tmp_path, {**sources, **settings}), kind, what, where)


def test_an_empty_test_split(refused, ground, tmp_path):
    (tmp_path / "train.csv").write_text(GOOD)
    (tmp_path / "test.csv").write_text(HEAD)
    sources = {split: {"source": str(tmp_path / f"{split}.csv")} for split in ("train", "test")}
    judge(refuse(refused, ground, tmp_path, sources), DATA, "no labelled records", "tasks.topics.test")


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
    with store.draft(Key("pretraining", 1, {}, {"tokens": other.reference})) as draft:
        shutil.copytree(store.open_folder(trunk, "model/"), draft.folder / "model")
        for file in sorted((draft.folder / "model").iterdir()):
            draft.add(f"model/{file.name}")
        draft.facts = {"modality": "text"}
        key = Key("registration", 1, {}, {"trunk": draft.commit().reference})
    Manifest(key, "", ()).write(folder / "registered.json")
    for split, text in (("train", GOOD), ("test", TEST)):
        (tmp_path / f"{split}.csv").write_text(text)
    sources = {split: {"source": str(tmp_path / f"{split}.csv")} for split in ("train", "test")}
    error = refuse(refused, folder, tmp_path, sources)
    judge(error, DAMAGE, "not the one that made the tokens", "probe")
