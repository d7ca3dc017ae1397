"""Encoding of texts to ids, on several threads, in order, with a bounded number of batches under way.

Threads, not processes: `tokenizers` leaves the interpreter's lock while it encodes, and turning its result
into an array is 1 % of the work. They start at once and share one vocabulary.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from components.lib.modalities.text.tokenization import sentences
from components.lib.modalities.text.tokenization.corpus_texts import PIECE, Texts, grouped, pieces
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store


@dataclass(frozen=True)
class Encoded:
    """A batch of documents.

    Attributes:
        ids: of all documents, one after the other.
        lengths: (documents,) tokens of each.
        unknown: how many of the ids are [UNK].
        example: a text with one of them, or ''.
        sentences: which of the ids begin one; empty if nobody asked.
    """

    ids: npt.NDArray[np.unsignedinteger[Any]]
    lengths: npt.NDArray[np.int64]
    unknown: int
    example: str
    sentences: npt.NDArray[np.int64]


class Encoder:
    """Encodes with one tokenizer; what it returns does not depend on the number of threads.

    Args:
        sentences: how they are found, as `sentences.starts` has it; '': not at all.
    """

    def __init__(
        self, tokenizer: Tokenizer, unknown: int, dtype: np.dtype[Any], workers: int, sentences: str = ""
    ) -> None:
        self.tokenizer, self.unknown, self.dtype, self.workers = tokenizer, unknown, dtype, workers
        self.sentences = sentences

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.tokenizer.encode_special_tokens = True  # which its file does not tell

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
        cut = [list(pieces(text)) for text in texts]
        arrays, sizes, unknown, example = [np.zeros(0, self.dtype)], [0], 0, ""
        marks = [np.zeros(0, np.int64)]
        for group in grouped(chain.from_iterable(cut), PIECE):
            ids, lengths, begun = self._ids(group)
            marks.append(begun + sum(sizes))
            places = np.flatnonzero(ids == self.unknown)
            if len(places) and not example:
                example = group[np.searchsorted(np.cumsum(lengths), places[0], side="right")]
            unknown += len(places)
            arrays.append(ids)
            sizes += lengths
        ends = np.cumsum(sizes)[np.cumsum([0, *map(len, cut)])]
        return Encoded(np.concatenate(arrays), np.diff(ends), unknown, example, np.concatenate(marks))

    def _ids(self, group: list[str]) -> tuple[npt.NDArray[Any], list[int], npt.NDArray[np.int64]]:
        """The ids of some texts, one after the other, how many each has, and which begin sentences."""
        encode = self.tokenizer.encode_batch if self.sentences else self.tokenizer.encode_batch_fast
        parts = encode(group, add_special_tokens=False)  # the fast one knows no characters
        lists = [part.ids for part in parts]
        lengths = [len(ids) for ids in lists]
        begun = [np.zeros(0, np.int64)]
        if self.sentences:
            begins = np.cumsum([0, *lengths])
            begun += [
                sentences.tokens(sentences.starts(text, self.sentences), part.offsets) + begin
                for text, part, begin in zip(group, parts, begins[:-1], strict=True)
            ]
        return (
            np.fromiter(chain.from_iterable(lists), self.dtype, sum(lengths)),
            lengths,
            np.concatenate(begun),
        )


@dataclass
class Encoding:
    """The step that encodes a file of a corpus.

    Attributes:
        texts: what reads the texts of a split.
    """

    encoder: Encoder
    store: Store
    corpus: Manifest
    texts: type[Texts]

    @classmethod
    def open(cls, encoder: Encoder, uri: str, cache: Path, corpus: Manifest, texts: type[Texts]) -> Encoding:
        """The step, in any process that reaches the store."""
        return cls(encoder, Store(uri, cache), corpus, texts)

    def __call__(self, item: tuple[str, str]) -> Iterator[Encoded]:
        """Batches of a split's file, in order."""
        split, file = item
        yield from self.encoder.encode(self.texts(self.store, self.corpus, split).batches(file))

    def close(self) -> None:
        """It holds nothing open."""


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
