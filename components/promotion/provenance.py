"""How a run came about: time and reuse of each stage, lineage, settings, how to load the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.modalities import snippet
from components.lib.pages import charts, page
from components.lib.pages.markup import Html
from components.lib.pages.model_card import flat
from components.promotion.ancestry import Ancestor


def timings(records: Sequence[Mapping[str, Any]]) -> Html:
    """Seconds of each stage that has ended, and whether its output was made or reused."""
    if not records:
        nothing = page.paragraph("The ledger of this run is empty.", note=True)
        return page.section("Time", nothing)
    bars = [
        (_name(record), float(record["seconds"]), charts.GREY if _reused(record) else 0) for record in records
    ]
    notices = [f"{_name(record)}: {notice}" for record in records for notice in record.get("notices", [])]
    whole = max(r["end"] for r in records) - min(r["start"] for r in records)
    note = f"{page.seconds(whole)} from the first stage's start; promotion itself is not in it."
    drawn = charts.bars(
        "Time of each stage", bars, unit="s", legend=[("made", 0), ("reused from the store", charts.GREY)]
    )
    told = [page.subheading("Worth knowing"), page.listing(notices)] if notices else []
    return page.section("Time", drawn, *told, note=note)


def lineage(ancestors: Sequence[Ancestor]) -> Html:
    """Every output behind this report, with the digest that fixes its bytes."""
    rows = []
    for ancestor in ancestors:
        place, _, digest = ancestor.reference.partition("#")
        manifest = ancestor.manifest
        where = page.code(manifest.uri) if manifest else page.badge(ancestor.problem, "warn")
        task = manifest.facts.get("task", "") if manifest else ""
        stage = f"{ancestor.stage} ({task})" if task else ancestor.stage
        key = page.code(place.partition("/")[2][:12])
        rows.append([stage, key, page.code(digest[:12]), where])
    note = "Equal digests mean equal bytes. The full ones are in the manifests and in the registry's tags."
    return page.section("Lineage", page.table(["stage", "key", "digest", "place"], rows), note=note)


def settings(ancestors: Sequence[Ancestor]) -> Html:
    """The settings of each stage, folded."""
    blocks = []
    for ancestor in ancestors:
        if ancestor.manifest is not None and ancestor.manifest.key.config:
            task = ancestor.manifest.facts.get("task", "")
            values = flat(ancestor.manifest.key.config)
            title = f"{ancestor.stage} ({task})" if task else ancestor.stage
            blocks.append(page.folded(title, page.definitions(values)))
    return page.section("Settings", *blocks) if blocks else page.stack()


def loading(decision: Mapping[str, Any]) -> Html:
    """Lines that load each branch and ask it."""
    blocks = []
    for task in decision["tasks"]:
        alias = "champion" if task.get("passed") else "challenger"
        blocks.append(page.preformatted(snippet(task["modality"], task["model"], alias)))
    return page.section("Load the model", *blocks)


def _name(record: Mapping[str, Any]) -> str:
    return f"{record['stage']} ({record['task']})" if record.get("task") else str(record["stage"])


def _reused(record: Mapping[str, Any]) -> bool:
    outputs = record.get("outputs", [])
    return bool(outputs) and all(output["reused"] for output in outputs)
