import re
import subprocess
import sys
import time
from itertools import chain
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.lib.modalities.text.settings import Tokenization
from components.lib.modalities.text.tokenization import corpus_texts, training
from components.lib.modalities.text.tokenization.encoding import Encoder
from components.lib.modalities.text.tokenization.tokenizer import FramedTokenizer
from components.lib.storage.store import Store
from tests.made.corpora import corpus, scripts, word_level

KINDS = ("bpe", "wordpiece", "unigram")


@pytest.fixture(scope="module", params=KINDS)
def tokens(request: pytest.FixtureRequest) -> FramedTokenizer:
    config = Tokenization(kind=request.param, vocabulary_size=1200)
    return training.train(config, lambda: iter([scripts()]))


def encoder(tokens: FramedTokenizer, workers: int = 2) -> Encoder:
    return Encoder(tokens.tokenizer, tokens.special["unk"], tokens.dtype, workers)


def reference(tokens: FramedTokenizer, texts: list[str]) -> list[list[int]]:
    return [tokens.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_back_in_order_as_the_library_encodes_them(tokens, workers):
    texts = ["", "fox", *scripts(40, seed=1), " "]
    batches = [texts[start : start + 7] for start in range(0, len(texts), 7)]
    parts = list(encoder(tokens, workers).encode(batches))
    expected = reference(tokens, texts)
    assert np.concatenate([part.ids for part in parts]).tolist() == list(chain.from_iterable(expected))
    assert np.concatenate([part.lengths for part in parts]).tolist() == [len(ids) for ids in expected]
    assert {part.ids.dtype for part in parts} == {np.dtype("uint16")}


def test_a_long_text_is_cut_where_its_tokens_do_not_change(tokens, monkeypatch):
    gaps = [" ", "  ", "\n", " \n  ", "\t", ". "]
    words = " ".join(scripts(30, seed=2)).split()
    text = "".join(word + gaps[number % len(gaps)] for number, word in enumerate(words))
    for limit in (100, 101, 128, 177):
        monkeypatch.setattr(corpus_texts, "PIECE", limit)
        monkeypatch.setattr(corpus_texts, "RUN", limit // 8)
        assert len(list(corpus_texts.pieces(text))) > 20
        assert "".join(corpus_texts.pieces(text)) == text
        (part,) = encoder(tokens).encode([[text, "fox", text]])
        assert part.ids.tolist() == list(chain.from_iterable(reference(tokens, [text, "fox", text])))


@pytest.mark.parametrize(
    "text", ["x" * 500_000, "\u00e9" * 300_000, " " * 2_000_000, "a " * 500_000, "." * 1_000_000]
)
def test_a_document_of_megabytes_takes_seconds(tokens, text):
    start = time.process_time()
    (part,) = encoder(tokens).encode([[text, "fox"]])
    assert time.process_time() - start < 30  # a guard against quadratic time, not a measurement
    assert part.lengths.sum() == len(part.ids)
    assert part.lengths[1] == len(reference(tokens, ["fox"])[0])


@given(st.lists(st.sampled_from(["x", " ", "\n", "ab c", "\u3000"]), max_size=8), st.integers(1, 60))
def test_pieces_are_the_text_and_no_run_is_long(parts, repeat):
    text = "".join(part * repeat * 3 for part in parts)
    with mock.patch.multiple(corpus_texts, RUN=16, PIECE=100, UNBROKEN=re.compile(r"\S{16}|\s{16}")):
        cut = list(corpus_texts.pieces(text))
    assert "".join(cut) == text
    assert all(len(run) < 32 for piece in cut for run in re.findall(r"\S+|\s+", piece))
    assert all(len(piece) <= 100 for piece in cut)


def test_unknown_tokens_are_counted_with_an_example(tokens):
    texts = ["fox", "fox \U00012000 dog", "\U00012000"]
    (part,) = encoder(tokens).encode([texts])
    knows_bytes = "\u0120" in tokens.tokenizer.get_vocab()
    assert part.unknown == (0 if knows_bytes else 2)
    assert part.example == ("" if knows_bytes else texts[1])


PEAK = """
import sys
from pathlib import Path
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.tokenization.config import configured
from components.tokenization.run import run
folder = Path(sys.argv[1])
own = {"kind": "given", "tokenizer": sys.argv[2], "shard_tokens": 1_000_000}
config = configured({"modality": "text", "workers": 2, **own})
context = Context(Store(str(folder / "store")))
run(config, context, corpus=folder / "corpus.json", tokens=folder / "tokens.json")
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that started this one
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    word_level(tmp_path / "tokenizer.json", "the trunk carries branches and leaves".split())
    text = "the trunk carries branches and leaves " * 2000
    peaks = []
    for count in (60, 240):  # 5 and 18 MB
        folder = tmp_path / str(count)
        folder.mkdir()
        texts = [f"{number} {text}" for number in range(count)]
        corpus(Store(str(folder / "store")), texts, rows=50).write(folder / "corpus.json")
        command = [sys.executable, "-c", PEAK, str(folder), str(tmp_path / "tokenizer.json")]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        peaks.append(int(process.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 40, peaks  # MB
