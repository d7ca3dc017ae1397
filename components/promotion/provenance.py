"""How a run came about: lineage, settings, how to load the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib import tasks
from components.lib.modalities import snippet
from components.lib.pages import page
from components.lib.pages.model_card import flat
from components.promotion.ancestry import Ancestor


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
        snippet(
            task["modality"],
            task["model"],
            "champion" if task.get("passed") else "challenger",
            tasks.served(task["kind"]),
        )
        for task in decision["tasks"]
    ]


def _stage(ancestor: Ancestor) -> str:
    task = ancestor.manifest.facts.get("task", "") if ancestor.manifest else ""
    return f"{ancestor.stage} ({task})" if task else ancestor.stage
