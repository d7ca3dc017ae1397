"""Statistics of the corpus: what was read, kept, dropped and why, and how long the documents are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.ingestion.config import Config
from components.ingestion.corpus_shards import Shards
from components.ingestion.packs import COUNTED, Slice
from components.ingestion.selection import Selection
from components.ingestion.tally import Tally
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
        selection: Selection,
        tally: Tally,
        parts: Sequence[Slice],
        shards: Shards,
        config: Config,
        modality: Any,
    ) -> Statistics:
        """Counts once everything is decided and written."""
        columns, survey = modality.COLUMNS, selection.survey
        quarantined = sum(part.source["quarantined"] for part in parts)
        packs = {part.pack.uri: part.pack.facts["altered"] for part in parts}
        names = ("near_duplicates", "validation", *(["group"] if config.group else []))
        groups = {"groups": survey.groups} if config.group else {}
        kinds = {**tally.kinds, **{name: dict(sorted(kind.items())) for name, kind in shards.kinds.items()}}
        return cls(
            read=selection.catalogue.count + quarantined,
            quarantined=quarantined,
            altered=sum(packs.values()),
            dropped=survey.dropped,
            account=_account(parts),
            notes=notes(parts),
            documents={"train": survey.kept - survey.held_out, "validation": survey.held_out},
            modality=config.modality,
            totals={**tally.totals, **groups},
            kinds={name: kinds[name] for name in columns.kinds},
            sources=tally.sources,
            evaluations=tally.found,
            lengths={name: tally.lengths[name].histogram() for name in columns.lengths},
            samples=shards.samples,
            settings={**{name: getattr(config, name) for name in names}, **modality.shown(config.own)},
            settled=selection.settled,
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
