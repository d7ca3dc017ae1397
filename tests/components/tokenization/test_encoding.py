from __future__ import annotations

import time
from itertools import chain

import numpy as np
import pytest

from components.tokenization import encoding, training
from components.tokenization.config import Config
from components.tokenization.encoding import Encoder
from components.tokenization.folder import Tokens
from tests.components.tokenization.made import documents

KINDS = ("bpe", "wordpiece", "unigram")


@pytest.fixture(scope="module", params=KINDS)
def tokens(request: pytest.FixtureRequest) -> Tokens:
    config = Config(kind=request.param, vocabulary_size=600)
    return Tokens.trained(training.train(config, lambda: iter([documents()])))


def encoder(tokens: Tokens, workers: int = 2) -> Encoder:
    return Encoder(tokens.tokenizer, tokens.special["unk"], tokens.dtype, workers)


def reference(tokens: Tokens, texts: list[str]) -> list[list[int]]:
    return [tokens.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_back_in_order_as_the_library_encodes_them(tokens: Tokens, workers: int) -> None:
    texts = ["", "fox", *documents(40, seed=1), " "]
    batches = [texts[start : start + 7] for start in range(0, len(texts), 7)]
    parts = list(encoder(tokens, workers).encode(batches))
    expected = reference(tokens, texts)
    assert np.concatenate([part.ids for part in parts]).tolist() == list(chain.from_iterable(expected))
    assert np.concatenate([part.lengths for part in parts]).tolist() == [len(ids) for ids in expected]
    assert {part.ids.dtype for part in parts} == {np.dtype("uint16")}


def test_a_long_text_is_cut_where_its_tokens_do_not_change(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = [" ", "  ", "\n", " \n  ", "\t", ". "]
    words = " ".join(documents(30, seed=2)).split()
    text = "".join(word + gaps[number % len(gaps)] for number, word in enumerate(words))
    for limit in (100, 101, 128, 177):
        monkeypatch.setattr(encoding, "PIECE", limit)
        assert len(list(encoding._pieces(text))) > 20
        assert "".join(encoding._pieces(text)) == text
        (part,) = encoder(tokens).encode([[text, "fox", text]])
        assert part.ids.tolist() == list(chain.from_iterable(reference(tokens, [text, "fox", text])))


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 60_000, " " * 40_000, "a " * 100_000])
def test_a_document_of_one_word_is_encoded_in_seconds(tokens: Tokens, text: str) -> None:
    start = time.process_time()
    (part,) = encoder(tokens).encode([[text, "fox"]])
    assert time.process_time() - start < 30  # a guard against quadratic time, not a measurement
    assert part.lengths.sum() == len(part.ids)
    assert part.lengths[1] == len(reference(tokens, ["fox"])[0])


def test_the_environment_is_left_as_it_was(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for before in ("true", None):
        if before is None:
            monkeypatch.delenv("TOKENIZERS_PARALLELISM")
        else:
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
        list(encoder(tokens).encode([["fox"]]))
        assert os.environ.get("TOKENIZERS_PARALLELISM") == before


PEAK = """
import resource, sys
from pathlib import Path
from components.lib.artifacts import read
from components.lib.stage import Context
from components.lib.store import Store
from components.tokenization.config import Config
from components.tokenization.run import run
folder, kind, tokenizer = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
options = {"training_bytes": 1_000_000, "tokenizer": tokenizer, "shard_tokens": 200_000}
config = Config(kind=kind, vocabulary_size=400, **options)
context = Context(Store(str(folder / "store")))
run(config, context, corpus=folder / "corpus.json", tokens=folder / "tokens.json")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
