"""Parquet files with row groups of a bounded size: what a reader holds at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

OPTIONS = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}
ROW_GROUP = 8 << 20  # bytes of data of a row group


class Rows:
    """One parquet file; where its row groups end depends on its rows, not on the tables they come in.

    Args:
        sized: the columns of text or bytes that count.
    """

    def __init__(self, path: Path, schema: pa.Schema, sized: Sequence[str], **options: Any) -> None:
        self._writer = parquet.ParquetWriter(path, schema, **OPTIONS, **options)
        self._sized = sized
        self._tables: list[pa.Table] = []
        self._held = 0
        self.count = 0

    def add(self, table: pa.Table) -> None:
        """Appends rows."""
        sizes, at, before = np.cumsum(lengths(table, self._sized)), 0, 0
        while at < len(table):
            stop = int(np.searchsorted(sizes, before + ROW_GROUP - self._held)) + 1
            part = table.slice(at, stop - at)
            self._tables.append(part)
            at += len(part)
            self._held += int(sizes[at - 1]) - before
            before = int(sizes[at - 1])
            if self._held >= ROW_GROUP:
                self._flush()
        self.count += len(table)

    def close(self) -> None:
        """Writes what is left."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables).combine_chunks())
        self._tables, self._held = [], 0


def lengths(table: pa.Table, sized: Sequence[str]) -> npt.NDArray[np.int64]:
    """Bytes of each row in these columns of text or bytes."""
    columns = (table[name] for name in sized)
    return np.sum([pa.compute.binary_length(column).to_numpy() for column in columns], axis=0)
