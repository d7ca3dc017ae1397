"""Texts to ids, on several threads, in order, with a bounded number of batches under way.

Threads, not processes: `tokenizers` leaves the interpreter's lock while it encodes, and turning its result
into an array is 1 % of the work. They start at once and share one vocabulary.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

PIECE = 1 << 19  # characters encoded at once: the library needs 100 bytes a token meanwhile
RUN = 1 << 12  # characters of one word that are encoded at once: unigram's time grows with their square
ENDLESS = re.compile(rf"\S{{{RUN + 1},}}|\s{{{RUN + 1},}}")


@dataclass(frozen=True)
class Encoded:
    """A batch of documents.

    Attributes:
        ids: of all documents, one after the other.
        lengths: (documents,) tokens of each.
        unknown: how many of the ids are [UNK].
        example: a text with one of them, or ''.
    """

    ids: npt.NDArray[np.unsignedinteger[Any]]
    lengths: npt.NDArray[np.int64]
    unknown: int
    example: str


class Encoder:
    """Encodes with one tokenizer; what it returns does not depend on the number of threads."""

    def __init__(self, tokenizer: Tokenizer, unknown: int, dtype: np.dtype[Any], workers: int) -> None:
        self.tokenizer, self.unknown, self.dtype, self.workers = tokenizer, unknown, dtype, workers

    def encode(self, batches: Iterable[list[str]]) -> Iterator[Encoded]:
        """The batches in order; at most two a thread are held."""
        under_way: deque[Future[Encoded]] = deque()
        with _one_thread_a_call(), ThreadPoolExecutor(self.workers) as pool:
            for batch in batches:
                under_way.append(pool.submit(self._batch, batch))
                if len(under_way) > 2 * self.workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def _batch(self, texts: list[str]) -> Encoded:
        pieces, counts = [], []
        for text in texts:
            cut = [piece for part in _pieces(text) for piece in _bounded(part)]
            pieces += cut
            counts.append(len(cut))
        flat: list[int] = []
        ends = [0]
        example = ""
        for piece, encoding in zip(pieces, self._encode(pieces), strict=True):
            ids = encoding.ids
            if not example and self.unknown in ids:
                example = piece
            flat += ids
            ends.append(len(flat))
        array = np.array(flat, self.dtype)
        lengths = np.diff(np.array(ends)[np.concatenate([[0], np.cumsum(counts)])])
        return Encoded(array, lengths, int((array == self.unknown).sum()), example)

    def _encode(self, pieces: list[str]) -> list[Any]:
        encodings: list[Any] = self.tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
        return encodings


def _pieces(text: str) -> Iterator[str]:
    """A very long text in parts, cut before a space that follows a word, where no token can reach across."""
    begin = 0
    while len(text) - begin > PIECE:
        end = text.rfind(" ", begin + 1, begin + PIECE)
        while end > begin + 1 and text[end - 1].isspace():
            end = text.rfind(" ", begin + 1, end)
        end = end if end > begin else begin + PIECE
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _bounded(text: str) -> Iterator[str]:
    """Runs without a break, or of nothing but white space, in parts; other text as it is."""
    begin = 0
    for run in ENDLESS.finditer(text):
        for end in range(run.start() + RUN, run.end(), RUN):
            yield text[begin:end]
            begin = end
    yield text[begin:]


@contextmanager
def _one_thread_a_call() -> Iterator[None]:
    """Keeps the library from threads of its own: it reads this variable at every call."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
