"""Statistics of the corpus: what was read, kept, dropped and why, and how long the documents are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.ingestion.config import Config
from components.ingestion.corpus_shards import Shards
from components.ingestion.packs import COUNTED, Slice
from components.ingestion.selection import Documents
from components.lib.modalities import Columns


@dataclass(frozen=True)
class Statistics:
    """Counts of documents unless said otherwise.

    Attributes:
        read: records, the unreadable ones included.
        dropped: rule or step -> documents.
        documents: split -> documents.
        account: unit (lines, rows, ...) -> read, records, blank, header, quarantined; read is their sum.
        notes: what was guessed of files or left out of them -> {"streams": how many, "first": a source}.
        totals: measure -> split -> its sum; `groups` -> split -> how many there are, if documents have any.
        kinds: column -> how many documents have each of its values.
        altered: documents that were repaired.
        evaluations: source, documents, found (how many of them stand in the sources).
        settled: what the modality finds of all documents at once, and `notices` of it.
        lengths: unit -> {"edges": n + 1 bounds, "counts": n} of the kept documents; geometric bins.
    """

    read: int
    quarantined: int
    altered: int
    dropped: dict[str, int]
    account: dict[str, dict[str, int]]
    notes: dict[str, dict[str, Any]]
    modality: str
    documents: dict[str, int]
    totals: dict[str, dict[str, int]]
    kinds: dict[str, dict[str, int]]
    sources: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    lengths: dict[str, dict[str, list[int]]]
    samples: list[dict[str, str]]
    settings: dict[str, Any]
    settled: dict[str, Any]

    @classmethod
    def of(
        cls,
        documents: Documents,
        parts: Sequence[Slice],
        evaluations: list[dict[str, Any]],
        shards: Shards,
        config: Config,
        modality: Any,
    ) -> Statistics:
        """Counts once everything is decided."""
        kept, splits, columns = documents.kept, documents.splits, modality.COLUMNS
        quarantined = sum(part.source["quarantined"] for part in parts)
        packs = {part.pack.uri: part.pack.facts["altered"] for part in parts}
        names = ("near_duplicates", "validation", *(["group"] if config.group else []))
        return cls(
            read=len(kept) + quarantined,
            quarantined=quarantined,
            altered=sum(packs.values()),
            dropped=documents.dropped,
            account=_account(parts),
            notes=notes(parts),
            documents={name: int(mask.sum()) for name, mask in splits.items()},
            modality=config.modality,
            totals=_totals(documents, columns.totals),
            kinds={name: _kinds(name, documents, kept, shards) for name in columns.kinds},
            sources=_sources(parts, kept),
            evaluations=evaluations,
            lengths={name: _histogram(documents.measures[name][kept]) for name in columns.lengths},
            samples=shards.samples,
            settings={**{name: getattr(config, name) for name in names}, **modality.shown(config.own)},
            settled=documents.settled,
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON types; totals and kinds by their own names."""
        plain = dict(vars(self))
        del plain["modality"]
        return {**plain.pop("totals"), **plain.pop("kinds"), **plain}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], modality: str, columns: Columns) -> Statistics:
        """What `to_dict` gave."""
        totals = {name: plain[name] for name in (*columns.totals, "groups") if name in plain}
        kinds = {name: plain[name] for name in columns.kinds}
        own = {name: value for name, value in plain.items() if name not in totals and name not in kinds}
        own["lengths"] = {name: plain["lengths"][name] for name in columns.lengths}
        return cls(modality=modality, totals=totals, kinds=kinds, **own)

    def facts(self) -> dict[str, Any]:
        """What the manifest states."""
        own = ("modality", "read", "quarantined", "dropped", "account", "evaluations", "documents")
        facts = {name: getattr(self, name) for name in own}
        return {**facts, **self.totals, **self.kinds, **self.settled, "sources": len(self.sources)}


def _account(parts: Sequence[Slice]) -> dict[str, dict[str, int]]:
    sums: dict[str, Counter[str]] = {}
    for part in parts:
        for unit, counts in part.source["account"].items():
            sums.setdefault(unit, Counter()).update(counts)
    return {unit: {name: counts[name] for name in COUNTED} for unit, counts in sorted(sums.items())}


def notes(parts: Sequence[Slice]) -> dict[str, dict[str, Any]]:
    """What was guessed of files or left out of them: note -> in how many streams, and in a first source."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for note, streams in part.source["notes"].items():
            entry = found.setdefault(note, {"streams": 0, "first": part.source["name"]})
            entry["streams"] += streams
    return dict(sorted(found.items()))


def _totals(documents: Documents, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Sums of measures of each split, and how many groups it has."""
    splits = documents.splits.items()
    sums = {name: {s: int(documents.measures[name][mask].sum()) for s, mask in splits} for name in names}
    if len(documents.groups):
        sums["groups"] = {s: len(np.unique(documents.groups[mask], axis=0)) for s, mask in splits}
    return sums


def _kinds(name: str, documents: Documents, kept: npt.NDArray[np.bool_], shards: Shards) -> dict[str, int]:
    if name in shards.kinds:
        return dict(sorted(shards.kinds[name].items()))
    values, counts = np.unique(documents.measures[name][kept], return_counts=True)
    return dict(zip(map(str, values.tolist()), counts.tolist(), strict=True))


def _sources(parts: Sequence[Slice], kept: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    stops = np.cumsum([part.source["rows"] for part in parts])
    below = np.concatenate([[0], np.cumsum(kept)])
    rows = []
    for part, stop in zip(parts, stops.tolist(), strict=True):
        entry = {name: part.source[name] for name in ("name", "sha256", "bytes", "quarantined")}
        read = part.source["rows"]
        rows.append(
            {**entry, "read": read + entry["quarantined"], "kept": int(below[stop] - below[stop - read])}
        )
    return rows


def _histogram(values: npt.NDArray[np.int32]) -> dict[str, list[int]]:
    """Bins that double: 1-2, 2-4, 4-8, ..."""
    most = int(values.max(initial=1))
    edges = [2**power for power in range(most.bit_length() + 1)]
    first = next((i for i, edge in enumerate(edges[1:]) if (values < edge).any()), 0)
    counts, _ = np.histogram(values, edges[first:])
    return {"edges": edges[first:], "counts": counts.tolist()}
