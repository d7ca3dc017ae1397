"""How a run came about: time and reuse of each stage, lineage, settings, how to load the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.modalities import snippet
from components.lib.pages import charts, page
from components.lib.pages.model_card import flat
from components.promotion.ancestry import Ancestor

Record = Mapping[str, Any]


def bars(records: Sequence[Record]) -> list[tuple[str, float, int]]:
    """Seconds of each stage that has ended; grey where its output was reused."""
    return [(_named(r), float(r["seconds"]), charts.GREY if _reused(r) else 0) for r in records]


def whole(records: Sequence[Record]) -> float:
    """Seconds from the first stage's start to the last one's end."""
    end: float = max(record["end"] for record in records)
    return end - min(record["start"] for record in records)


def notices(records: Sequence[Record]) -> list[str]:
    """What stages found worth knowing."""
    return [f"{_named(record)}: {notice}" for record in records for notice in record.get("notices", [])]


def lineage(ancestors: Sequence[Ancestor]) -> list[list[object]]:
    """Rows: every output behind a run, with the digest that fixes its bytes."""
    rows: list[list[object]] = []
    for ancestor in ancestors:
        place, _, digest = ancestor.reference.partition("#")
        found = ancestor.manifest
        where = page.part("code", found.uri) if found else page.part("badge", ancestor.problem, "warn")
        codes = [page.part("code", part[:12]) for part in (place.partition("/")[2], digest)]
        rows.append([_stage(ancestor), *codes, where])
    return rows


def settings(ancestors: Sequence[Ancestor]) -> list[tuple[str, dict[str, Any]]]:
    """The settings of each stage by their dotted names."""
    known = [(a, a.manifest.key.config) for a in ancestors if a.manifest is not None]
    return [(_stage(ancestor), flat(config)) for ancestor, config in known if config]


def loading(decision: Mapping[str, Any]) -> list[str]:
    """Lines of Python that load each branch and ask it."""
    return [
        snippet(task["modality"], task["model"], "champion" if task.get("passed") else "challenger")
        for task in decision["tasks"]
    ]


def _stage(ancestor: Ancestor) -> str:
    task = ancestor.manifest.facts.get("task", "") if ancestor.manifest else ""
    return f"{ancestor.stage} ({task})" if task else ancestor.stage


def _named(record: Record) -> str:
    return f"{record['stage']} ({record['task']})" if record.get("task") else str(record["stage"])


def _reused(record: Record) -> bool:
    outputs = record.get("outputs", [])
    return bool(outputs) and all(output["reused"] for output in outputs)
