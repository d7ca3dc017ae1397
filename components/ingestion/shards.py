"""The corpus' files: parquet shards of a bounded size for each split, and what was dropped and why."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from components.lib.store import Draft

SHARD = pa.schema([("id", pa.string()), ("text", pa.string()), ("source", pa.string())])
QUARANTINE = pa.schema([(name, pa.string()) for name in ("source", "location", "reason", "excerpt")])
OPTIONS = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}
ROW_GROUP = 8 << 20  # bytes of text of a row group: what a reader holds
SAMPLES = 5


class Split:
    """The shards of one split; a new one is begun when the last has `most` bytes of text."""

    def __init__(self, draft: Draft, name: str, most: int) -> None:
        self._draft, self._name, self._most = draft, name, most
        self._count, self._bytes, self._rows = 0, 0, 0
        self._tables: list[pa.Table] = []
        self._held = 0
        self._begin()

    def add(self, table: pa.Table) -> None:
        """Appends rows."""
        at = 0
        while at < len(table):
            sizes = np.cumsum(pa.compute.binary_length(table["text"].slice(at)).to_numpy())
            fit = int(np.searchsorted(sizes, self._most - self._bytes, "right"))
            if fit == 0 and self._bytes:
                self._end()
                self._begin()
                continue
            fit = max(fit, 1)
            self._tables.append(table.slice(at, fit))
            self._rows, self._bytes, self._held = (
                self._rows + fit,
                self._bytes + int(sizes[fit - 1]),
                self._held + int(sizes[fit - 1]),
            )
            at += fit
            if self._held >= ROW_GROUP:
                self._flush()

    def close(self) -> None:
        """Publishes the last shard."""
        self._end()

    def _begin(self) -> None:
        self._file = f"{self._name}-{self._count:05d}.parquet"
        self._writer = parquet.ParquetWriter(
            self._draft.folder / self._file, SHARD, use_dictionary=["source"], **OPTIONS
        )
        self._count, self._bytes, self._rows = self._count + 1, 0, 0

    def _flush(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
        self._tables, self._held = [], 0

    def _end(self) -> None:
        self._flush()
        self._writer.close()
        self._draft.add(self._file, self._rows)


class Shards:
    """All files of a corpus that hold documents.

    Attributes:
        samples: texts of the documents with the smallest ids: a few at random, the same every time.
    """

    def __init__(self, draft: Draft, most: int) -> None:
        self._draft = draft
        self._train, self._validation = Split(draft, "train", most), Split(draft, "validation", most)
        self._dropped = parquet.ParquetWriter(draft.folder / "dropped.parquet", QUARANTINE, **OPTIONS)
        self._count = 0
        self._smallest: list[tuple[int, str, str]] = []

    @property
    def samples(self) -> list[dict[str, str]]:
        """Source and text of some documents."""
        return [{"source": source, "text": text} for _, text, source in sorted(self._smallest, reverse=True)]

    def add(
        self,
        table: pa.Table,
        reasons: npt.NDArray[np.object_],
        validation: npt.NDArray[np.bool_],
        ids: npt.NDArray[np.uint64],
    ) -> None:
        """Sends each row of (source, location, text) where it belongs."""
        kept = reasons == ""
        names = pa.array([row.tobytes().hex() for row in ids.astype(">u8")])
        rows = pa.table([names, table["text"], table["source"]], schema=SHARD)
        for split, mask in ((self._train, kept & ~validation), (self._validation, kept & validation)):
            split.add(rows.filter(pa.array(mask)))
        self._sample(rows, np.flatnonzero(kept), ids[:, 0])
        if not kept.all():
            gone = table.filter(pa.array(~kept))
            excerpts = pa.compute.utf8_slice_codeunits(gone["text"], 0, 80)
            columns = [gone["source"], gone["location"], pa.array(reasons[~kept], pa.string()), excerpts]
            self._dropped.write_table(pa.table(columns, schema=QUARANTINE))
            self._count += len(gone)

    def close(self) -> None:
        """Publishes everything."""
        self._train.close()
        self._validation.close()
        self._dropped.close()
        self._draft.add("dropped.parquet", self._count)

    def _sample(self, rows: pa.Table, kept: npt.NDArray[np.int64], ids: npt.NDArray[np.uint64]) -> None:
        for row in kept[np.argsort(ids[kept], kind="stable")[:SAMPLES]].tolist():
            entry = (-int(ids[row]), rows["text"][row].as_py()[:600], rows["source"][row].as_py())
            heapq.heappush(self._smallest, entry)
            if len(self._smallest) > SAMPLES:
                heapq.heappop(self._smallest)
