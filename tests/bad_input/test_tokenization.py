"""The matrix of corpora and given tokenizers that cannot be used."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.tokenization.config import configured
from components.tokenization.run import run
from tests.bad_input.refusal import DAMAGE, SETTING, Row, judge, rows
from tests.made.corpora import corpus, scripts, word_level

GOOD = scripts(40)
FEW = {"kind": "wordpiece", "vocabulary_size": 300}
OTHER = {"told": {"train": 41, "validation": 0}}

# id: a row of documents, and what is changed in their corpus
CORPORA: dict[str, tuple[Row, dict[str, Any]]] = {
    "no document": (Row([], "no document to train on", "ingestion/"), {}),
    "blanks alone": (Row([" ", "\n"], "have no tokens", "ingestion/", settings={"kind": "wordpiece"}), {}),
    "more letters than ids": (Row(GOOD, "are [UNK], e.g.", "(train)", settings=FEW), {}),
    "other counts than told": (Row(GOOD, "40 documents", "(train)", DAMAGE), OTHER),
    "another modality": (Row(GOOD, "of another kind", "ingestion/"), {"modality": "image"}),
}


@pytest.fixture
def tokenized(refused, store: Store, tmp_path: Path):
    """What the stage says to a corpus and settings, after which there is no output."""

    def refuse(texts: list[str], settings: dict[str, Any], told: Any = None, modality: str = "text") -> dict:
        source = corpus(store, texts, told=told)
        replace(source, facts={**source.facts, "modality": modality}).write(tmp_path / "corpus.json")
        config = configured({"modality": "text", "vocabulary_size": 600, **settings})

        def work(context: Context) -> None:
            run(config, context, corpus=tmp_path / "corpus.json", tokens=tmp_path / "tokens.json")

        error: dict = refused("tokenization", work)
        assert not (tmp_path / "tokens.json").exists()
        assert [key for key in store.objects.keys("tokenization/") if key.endswith("manifest.json")] == []
        return error

    return refuse


@rows(CORPORA)
def test_a_corpus_that_cannot_be_used(tokenized, row):
    expected, changes = row
    judge(tokenized(expected.given, expected.settings, **changes), expected)


def saved(model: Any) -> bytes:
    return Tokenizer(model).to_str().encode()


WORDS = {name: i for i, name in enumerate(["[UNK]", "[CLS]", "[SEP]", "fox"])}
UNKNOWN = json.loads(saved(models.WordPiece(WORDS))) | {"model": {"type": "No"}}

# id: the file, what is said; all are data errors that name the file
GIVEN: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "not a tokenizer"),
    "no UTF-8": (b"\xff\xfe", "not a tokenizer"),
    "cut JSON": (b'{"version": "1.0", "model":', "not a tokenizer"),
    "a list": (b"[]", "not a tokenizer"),
    "another JSON": (b'{"a": 1}', "not a tokenizer"),
    "an unknown model": (json.dumps(UNKNOWN).encode(), "not a tokenizer"),
    "a pickle": (b"\x80\x04\x95\x10\x00", "not a tokenizer"),
    "BPE that drops bytes": (saved(models.BPE({"a": 0}, [])), "does not know"),
    "unigram without unknown": (saved(models.Unigram([("a", -1.0)])), "does not know"),
    "wordpiece without unknown": (saved(models.WordPiece({"a": 0}, unk_token="[UNK]")), "does not know"),
    "a tokenizer of another language": (saved(models.WordPiece(WORDS, unk_token="[UNK]")), "are [UNK], e.g."),
}


@rows(GIVEN)
def test_a_given_tokenizer_that_cannot_be_used(tokenized, tmp_path, row):
    data, what = row
    path = tmp_path / "given.json"
    path.write_bytes(data)
    where = "(train)" if "UNK" in what else str(path)
    judge(tokenized(GOOD, {"kind": "given", "tokenizer": str(path)}), Row(data, what, where))


def test_words_without_unknown(tokenized, tmp_path):
    path = word_level(tmp_path / "tokenizer.json", ["fox"], unk=None)
    judge(tokenized(GOOD, {"kind": "given", "tokenizer": path}), Row(path, "does not know", path))


@pytest.mark.parametrize("path", ["missing.json", "", ".", "nowhere/tokenizer.json"])
def test_a_given_tokenizer_that_is_not_there(tokenized, tmp_path, path):
    error = tokenized(GOOD, {"kind": "given", "tokenizer": f"{tmp_path}/{path}"})
    judge(error, Row(path, "cannot be read", "tokenization.tokenizer", SETTING))
