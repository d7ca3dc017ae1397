"""Documents of packs in blocks of a bounded size: all that is known of them but the payload."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from components.ingestion.packs import Slice
from components.lib.data.partitions import Ints, Partitions, first_of_each
from components.lib.data.ranges import ranges
from components.lib.modalities import Columns
from components.lib.storage.store import Store

KEPT = ""
BLOCK = 1 << 15  # documents
Hashes = npt.NDArray[np.uint64]


@dataclass
class Documents:
    """A block of documents.

    Attributes:
        rows: (n,) their places in the corpus' order.
        ids: (n, 2) of 64 bits.
        reasons: (n,) why a document is dropped, 'rule: what was found'; '' if it is kept.
        measures: name -> (n,) numbers.
        shared: (n,) 1 if it overlaps with an evaluation document, 2 if it equals one.
        groups: (n, 2) of 64 bits, or (0, 2) if documents have no groups.
        signatures: (n, words) of 16 bits; (n, 0) if nobody asked.
    """

    rows: Ints
    ids: Hashes
    reasons: npt.NDArray[np.object_]
    measures: dict[str, npt.NDArray[np.int32]]
    shared: npt.NDArray[np.int8]
    groups: Hashes
    signatures: npt.NDArray[np.uint16]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a document stays."""
        kept: npt.NDArray[np.bool_] = self.reasons == KEPT
        return kept


class Catalogue:
    """All documents of some slices of packs.

    Args:
        parts: in the corpus' order.
        begin: the place of the first document in it.
        grouped: whether documents have groups.
        late: what drops documents of a block, set once it is known.

    Attributes:
        count: number of documents.
    """

    def __init__(
        self, store: Store, parts: Sequence[Slice], columns: Columns, *, begin: int = 0, grouped: bool = False
    ) -> None:
        self.store, self.parts, self._grouped, self._measures = store, parts, grouped, columns.measures
        self._counts = np.array([part.source["rows"] for part in parts], np.int64)
        self.begin, self.count = begin, int(self._counts.sum())
        self._starts = begin + np.cumsum(self._counts) - self._counts
        self.late: Callable[[Documents], None] = lambda block: None

    @property
    def columns(self) -> list[str]:
        """What of a pack's columns is read."""
        return ["id", "reason", "shared", *self._measures, *(["group"] if self._grouped else [])]

    def blocks(self, *, signatures: bool = False) -> Iterator[Documents]:
        """All documents, pack by pack; within a pack, by their places there."""
        packs: dict[str, list[int]] = {}
        for number, part in enumerate(self.parts):
            packs.setdefault(part.pack.uri, []).append(number)
        columns = [*self.columns, *(["signature"] if signatures else [])]
        for numbers in packs.values():
            offsets = np.array([self.parts[number].offset for number in numbers], np.int64)
            stops, starts, first = offsets + self._counts[numbers], self._starts[numbers], 0
            with parquet.ParquetFile(
                self.store.open(self.parts[numbers[0]].pack, "documents.parquet")
            ) as file:
                for batch in file.iter_batches(BLOCK, columns=columns, use_threads=False):
                    low = offsets.clip(first, first + len(batch))
                    counts = stops.clip(first, first + len(batch)) - low
                    rows = ranges(starts + low - offsets, counts)
                    if len(rows):
                        yield self.block(pa.table(batch).take(ranges(low - first, counts)), rows)
                    first += len(batch)

    def block(self, table: pa.Table, rows: Ints) -> Documents:
        """The documents of rows of a pack."""
        known = {name: table[name] for name in table.column_names}
        found = Documents(
            rows,
            ids=_fixed(known["id"], np.dtype(">u8"), np.uint64),
            reasons=known["reason"].to_numpy().astype(object),
            measures={name: known[name].to_numpy() for name in self._measures},
            shared=known["shared"].to_numpy(),
            groups=_fixed(known["group"], np.dtype(">u8"), np.uint64)
            if self._grouped
            else np.zeros((0, 2), np.uint64),
            signatures=_fixed(known["signature"], np.dtype("<u2"), np.uint16)
            if "signature" in known
            else np.zeros((len(rows), 0), np.uint16),
        )
        self.late(found)
        return found


def distinct(
    blocks: Iterator[npt.NDArray[np.uint64]], folder: Path, documents: int, memory: int
) -> dict[int, int]:
    """How many different keys there are, for each kind of them.

    Args:
        blocks: (n, 3) the 128 bits of a hash, and a number below 2**31, the kind.
        folder: for scratch; is made.
        documents: how many rows there will be.
        memory: bytes that it may take.
    """
    parts = Partitions(folder, (np.uint64, 3), documents, memory)
    counts: dict[int, int] = {}
    for rows in blocks:
        parts.add(rows, parts.upper(rows[:, 0]))
    for file in range(len(parts)):
        rows = np.empty((0, 3), np.uint64)
        for chunk in parts.chunks(file):
            rows = np.concatenate([rows, chunk.reshape(-1, 3)])
            rows = rows[np.lexsort(rows.T)]
            rows = rows[first_of_each(*rows.T)]
        kinds, sums = np.unique(rows[:, 2], return_counts=True)
        for kind, count in zip(kinds.tolist(), sums.tolist(), strict=True):
            counts[kind] = counts.get(kind, 0) + count
    return counts


def _fixed(column: pa.ChunkedArray, dtype: np.dtype[Any], native: Any) -> npt.NDArray[Any]:
    """A column of fixed-size binaries as (rows, numbers)."""
    array = column.combine_chunks()
    width = array.type.byte_width
    data = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width :][: len(array) * width]
    return data.view(dtype).reshape(len(array), width // dtype.itemsize).astype(native)
