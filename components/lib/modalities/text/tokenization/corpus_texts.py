"""Texts of a corpus in order, a bounded number of characters at a time, cut where no token reaches across.

A tokenizer's time and memory grow with the longest text that it is given at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from pyarrow import parquet

from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

ROWS = 512  # documents read at once
BATCH = 1 << 20  # characters handed over at once
PIECE = 1 << 19  # characters: the library needs 100 bytes a token meanwhile
RUN = 1 << 12  # characters without a break: unigram's time grows with the square of a word
UNBROKEN = re.compile(rf"\S{{{RUN}}}|\s{{{RUN}}}")
BREAK = re.compile(r"(?<=\S) ")


@dataclass
class Texts:
    """One split of a corpus.

    Attributes:
        documents, bytes: what `training` chose, once a pass over it has ended.
    """

    KEPT: ClassVar[bool] = False  # whether a text without a token keeps its place

    store: Store
    corpus: Manifest
    split: str
    documents: int = 0
    bytes: int = 0

    @property
    def told(self) -> int:
        """How many texts the manifest tells of."""
        return int(self.corpus.facts["documents"].get(self.split, 0))

    @property
    def files(self) -> list[str]:
        """The corpus' shards of this split, in order."""
        return self.corpus.names(f"{self.split}-", ".parquet")

    def batches(self, file: str = "") -> Iterator[list[str]]:
        """All texts, or those of a file."""
        for _, texts in self._rows([file] if file else self.files):
            yield from grouped(texts, BATCH)

    def training(self, limit: int) -> Iterator[list[str]]:
        """The texts of about `limit` bytes, in pieces: those whose id's last 32 bits are small. 0: all."""
        share = 1.0 if limit == 0 else limit / max(1, self._size())
        self.documents = self.bytes = 0
        for ids, texts in self._rows(self.files):
            if share < 1:
                bound = share * 2**32
                texts = [text for name, text in zip(ids, texts, strict=True) if int(name[-8:], 16) < bound]
            self.documents += len(texts)
            self.bytes += sum(len(text.encode()) for text in texts)
            parts = filter(is_language, chain.from_iterable(map(pieces, texts)))
            yield from grouped(parts, BATCH)

    def _rows(self, files: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
        for name in files:
            with parquet.ParquetFile(self.store.open(self.corpus, name)) as file:
                for batch in file.iter_batches(ROWS, columns=["id", "text"], use_threads=False):
                    yield batch.column("id").to_pylist(), batch.column("text").to_pylist()

    def _size(self) -> int:
        """Bytes of text, from the metadata of the files."""
        total = 0
        for name in self.files:
            with parquet.ParquetFile(self.store.open(self.corpus, name)) as file:
                column = file.schema_arrow.get_field_index("text")
                groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
                total += sum(group.column(column).total_uncompressed_size for group in groups)
        return total


def pieces(text: str) -> Iterator[str]:
    """A very long text in parts, most others as they are.

    It is cut before a space that follows a word, where no token reaches across. A word, or white space, of
    more than `RUN` characters is cut in its middle.
    """
    if len(text) < RUN:
        yield text
        return
    for part in _broken(text):
        begin = 0
        while len(part) - begin > PIECE:
            limit = begin + PIECE
            breaks = [match.start() for match in BREAK.finditer(part, max(begin, limit - 4 * RUN) + 1, limit)]
            end = breaks[-1] if breaks else limit
            yield part[begin:end]
            begin = end
        yield part[begin:]


def is_language(piece: str) -> bool:
    """Whether a piece has breaks: what has none, for thousands of characters, teaches a tokenizer nothing."""
    return UNBROKEN.fullmatch(piece) is None


def _broken(text: str) -> Iterator[str]:
    """Parts without a run of more than 2 * `RUN` characters.

    Such a run fills a block that starts at a multiple of `RUN`, and most blocks show at once that they are
    not filled: nothing else of the text is looked at.
    """
    begin = 0
    for start in range(0, len(text) - RUN + 1, RUN):
        if UNBROKEN.match(text, start):
            if start > begin:
                yield text[begin:start]
            yield text[start : start + RUN]
            begin = start + RUN
    if begin < len(text):
        yield text[begin:]


def grouped(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of neighbours with `size` characters or a little more."""
    group, held = [], 0
    for text in texts:
        group.append(text)
        held += len(text)
        if held >= size:
            yield group
            group, held = [], 0
    if group:
        yield group
