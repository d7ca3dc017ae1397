"""Parquet shards of the corpus, of a bounded size for each split, and what was dropped and why."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.ingestion.parquet_rows import Rows, lengths
from components.lib.modalities import Columns
from components.lib.storage.store import Draft

QUARANTINE = pa.schema([(name, pa.string()) for name in ("source", "location", "reason", "excerpt")])


class Split:
    """The shards of one split; a new one is begun when the last has `most` bytes of data."""

    def __init__(self, draft: Draft, name: str, schema: pa.Schema, most: int) -> None:
        self._draft, self._name, self._schema, self._most = draft, name, schema, most
        self._count, self._bytes = 0, 0
        self._begin()

    def add(self, table: pa.Table) -> None:
        """Appends rows."""
        at = 0
        while at < len(table):
            sizes = np.cumsum(lengths(table.slice(at), self._schema.names[1:-1]))
            fit = int(np.searchsorted(sizes, self._most - self._bytes, "right"))
            if fit == 0 and self._bytes:
                self.close()
                self._begin()
                continue
            fit = max(fit, 1)
            self._rows.add(table.slice(at, fit))
            self._bytes += int(sizes[fit - 1])
            at += fit

    def close(self) -> None:
        """Publishes the last shard."""
        self._rows.close()
        self._draft.add(self._file, self._rows.count)

    def _begin(self) -> None:
        self._file = f"{self._name}-{self._count:05d}.parquet"
        path, payload = self._draft.folder / self._file, self._schema.names[1:-1]
        self._rows = Rows(path, self._schema, payload, use_dictionary=["source"])
        self._count, self._bytes = self._count + 1, 0


class Shards:
    """All files of a corpus that hold documents.

    Attributes:
        kinds: column -> how many kept documents have each of its values, for those that the modality counts.
    """

    def __init__(self, draft: Draft, modality: Any, most: int, settled: Mapping[str, Any]) -> None:
        self._draft, self._modality, self._settled = draft, modality, settled
        columns: Columns = modality.COLUMNS
        payload = [(name, pa.type_for_alias(kind)) for name, kind in columns.payload.items()]
        self._schema = pa.schema([("id", pa.string()), *payload, ("source", pa.string())])
        self._train, self._validation = (
            Split(draft, name, self._schema, most) for name in ("train", "validation")
        )
        self.kinds = {name: Counter[str]() for name in columns.kinds if name in columns.payload}
        self._dropped = Rows(draft.folder / "dropped.parquet", QUARANTINE, ("location", "reason"))
        self._smallest: list[tuple[int, str, str]] = []

    @property
    def samples(self) -> list[dict[str, str]]:
        """Some documents, those with the smallest ids: at random, but the same every time."""
        name = next(iter(self._modality.COLUMNS.payload))
        return [{"source": source, name: shown} for _, shown, source in sorted(self._smallest, reverse=True)]

    def add(
        self,
        table: pa.Table,
        reasons: npt.NDArray[np.object_],
        validation: npt.NDArray[np.bool_],
        ids: npt.NDArray[np.uint64],
    ) -> None:
        """Sends each row of (source, location, payload) where it belongs."""
        kept = reasons == ""
        names = pa.array([row.tobytes().hex() for row in ids.astype(">u8")])
        rows = pa.table([names, *(table[name] for name in self._schema.names[1:])], schema=self._schema)
        for split, mask in ((self._train, kept & ~validation), (self._validation, kept & validation)):
            split.add(rows.filter(pa.array(mask)))
        some, first = self._modality.COLUMNS.samples, ids[:, 0]
        for row in np.flatnonzero(kept)[np.argsort(first[kept], kind="stable")[:some]].tolist():
            if len(self._smallest) < some or -int(first[row]) > self._smallest[0][0]:
                one = rows.slice(row, 1).to_pylist()[0]
                shown = self._modality.sample(one, self._settled)
                heapq.heappush(self._smallest, (-int(first[row]), shown, one["source"]))
            if len(self._smallest) > some:
                heapq.heappop(self._smallest)
        for name, counter in self.kinds.items():
            counter.update(rows[name].filter(pa.array(kept)).to_pylist())
        if not kept.all():
            gone = table.filter(pa.array(~kept))
            why = pa.array(reasons[~kept], pa.string())
            columns = [gone["source"], gone["location"], why, self._modality.excerpts(gone)]
            self._dropped.add(pa.table(columns, schema=QUARANTINE))

    def close(self) -> None:
        """Publishes everything."""
        self._train.close()
        self._validation.close()
        self._dropped.close()
        self._draft.add("dropped.parquet", self._dropped.count)
