"""The texts of a corpus, in order, a bounded number of characters at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from pyarrow import parquet

from components.lib.modalities.text.tokenization.chunking import grouped, is_language, pieces
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

ROWS = 512  # documents read at once
BATCH = 1 << 20  # characters handed over at once


@dataclass
class Texts:
    """One split of a corpus.

    Attributes:
        documents, bytes: what `training` chose, once a pass over it has ended.
    """

    store: Store
    corpus: Manifest
    split: str
    documents: int = 0
    bytes: int = 0

    def batches(self) -> Iterator[list[str]]:
        """All texts."""
        for _, texts in self._rows():
            yield from grouped(texts, BATCH)

    def training(self, limit: int) -> Iterator[list[str]]:
        """The texts of about `limit` bytes, in pieces: those whose id's last 32 bits are small. 0: all."""
        share = 1.0 if limit == 0 else limit / max(1, self._size())
        self.documents = self.bytes = 0
        for ids, texts in self._rows():
            if share < 1:
                bound = share * 2**32
                texts = [text for name, text in zip(ids, texts, strict=True) if int(name[-8:], 16) < bound]
            self.documents += len(texts)
            self.bytes += sum(len(text.encode()) for text in texts)
            parts = filter(is_language, chain.from_iterable(map(pieces, texts)))
            yield from grouped(parts, BATCH)

    def _rows(self) -> Iterator[tuple[list[str], list[str]]]:
        for name in self.corpus.names(f"{self.split}-", ".parquet"):
            with parquet.ParquetFile(self.store.open(self.corpus, name)) as file:
                for batch in file.iter_batches(ROWS, columns=["id", "text"], use_threads=False):
                    yield batch.column("id").to_pylist(), batch.column("text").to_pylist()

    def _size(self) -> int:
        """Bytes of text, from the metadata of the files."""
        total = 0
        for name in self.corpus.names(f"{self.split}-", ".parquet"):
            with parquet.ParquetFile(self.store.open(self.corpus, name)) as file:
                column = file.schema_arrow.get_field_index("text")
                groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
                total += sum(group.column(column).total_uncompressed_size for group in groups)
        return total
