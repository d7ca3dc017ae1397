"""Tally of the corpus: sums over decided documents, a block at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.ingestion.documents import Documents
from components.ingestion.packs import Slice
from components.lib.modalities import Columns
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

EQUAL = 2  # of `shared`: it equals an evaluation document


class Spread:
    """How many whole numbers lie in bins that double: 1-2, 2-4, 4-8, ..."""

    def __init__(self) -> None:
        self._counts = np.zeros(32, np.int64)
        self._least, self._most = 1 << 31, 1

    def add(self, values: npt.NDArray[np.int32]) -> None:
        """Takes some."""
        if len(values):
            self._least, self._most = min(self._least, int(values.min())), max(self._most, int(values.max()))
            bins = np.frexp(values[values > 0])[1] - 1
            self._counts += np.bincount(bins, minlength=len(self._counts))

    def histogram(self) -> dict[str, list[int]]:
        """The bins from the first to the last that is not empty: their edges and counts."""
        edges = [2**power for power in range(self._most.bit_length() + 1)]
        first = next((i for i, edge in enumerate(edges[1:]) if self._least < edge), 0)
        return {"edges": edges[first:], "counts": self._counts[first : len(edges) - 1].tolist()}


class Tally:
    """What statistics need of all documents but their number.

    Args:
        parts: the sources.
        begin: the place of their first document.

    Attributes:
        totals: measure -> split -> its sum.
        kinds: measure -> how many kept documents have each of its values.
        lengths: measure -> its spread over kept documents.
        found: for each evaluation set its source, its documents, and how many of them stand in the sources.
    """

    def __init__(
        self,
        parts: Sequence[Slice],
        begin: int,
        columns: Columns,
        store: Store,
        evaluations: Sequence[Manifest],
    ) -> None:
        self.totals = {name: {"train": 0, "validation": 0} for name in columns.totals}
        self._kinds = {name: Counter[int]() for name in columns.kinds if name in columns.measures}
        self.lengths = {name: Spread() for name in columns.lengths}
        self._parts, self._kept = parts, np.zeros(len(parts), np.int64)
        self._stops = begin + np.cumsum([part.source["rows"] for part in parts])
        self._tested = [np.load(store.open(one, "index/ids.npy")) for one in evaluations]
        self._sources = [one.facts["source"] for one in evaluations]
        self._wanted = {row.tobytes() for ids in self._tested for row in ids}
        self._met = set[bytes]()

    def add(self, block: Documents, held_out: npt.NDArray[np.bool_]) -> None:
        """Takes decided documents in the order of the corpus."""
        kept = block.kept
        sources = np.searchsorted(self._stops, block.rows[kept], "right")
        self._kept += np.bincount(sources, minlength=len(self._kept))
        for name, sums in self.totals.items():
            for split, mask in (("train", kept & ~held_out), ("validation", kept & held_out)):
                sums[split] += int(block.measures[name][mask].sum())
        for name, counter in self._kinds.items():
            values, counts = np.unique(block.measures[name][kept], return_counts=True)
            counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        for name, spread in self.lengths.items():
            spread.add(block.measures[name][kept])
        equal = block.ids[block.shared == EQUAL].astype(">u8")
        self._met |= self._wanted & {row.tobytes() for row in equal}

    @property
    def kinds(self) -> dict[str, dict[str, int]]:
        """Measure -> value -> documents."""
        return {name: {str(v): n for v, n in sorted(kind.items())} for name, kind in self._kinds.items()}

    @property
    def found(self) -> list[dict[str, Any]]:
        """A row for each evaluation set."""
        pairs = zip(self._sources, self._tested, strict=True)
        return [
            {"source": source, "documents": len(ids), "found": sum(row.tobytes() in self._met for row in ids)}
            for source, ids in pairs
        ]

    @property
    def sources(self) -> list[dict[str, Any]]:
        """A row for each source: what was read of it, and kept."""
        rows = []
        for part, kept in zip(self._parts, self._kept.tolist(), strict=True):
            entry = {name: part.source[name] for name in ("name", "sha256", "bytes", "quarantined")}
            rows.append({**entry, "read": part.source["rows"] + entry["quarantined"], "kept": kept})
        return rows
