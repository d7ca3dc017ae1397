"""The index of runs: one page, newest first, from the exit records in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from components.lib.pages import page, scorecard
from components.lib.pages.markup import concat
from components.lib.storage.store import Store

TONES = {"succeeded": "good", "failed": "bad", "cancelled": "warn", "unreadable": "warn"}
HEADERS = ("run", "status", "preset", "started (UTC)", "time", "outcome")


def write(store: Store) -> None:
    """Makes `runs/index.html` anew."""
    keys = list(store.objects.keys("runs/"))
    records = [_read(store, key) for key in keys if key.endswith("/exit.json")]
    reports = {key.split("/")[1] for key in keys if key.endswith("/report.html")}
    records.sort(key=lambda record: (record.get("start") or "", record["run_id"]), reverse=True)
    store.objects.write("runs/index.html", render(records, reports).encode())


def render(records: list[dict[str, Any]], reports: set[str]) -> str:
    """The page.

    Args:
        records: exit records, newest first.
        reports: ids of the runs that have a report beside their record.
    """
    rows = [_row(record, record["run_id"] in reports) for record in records]
    table = page.table(HEADERS, rows) if rows else page.paragraph("No run has ended yet.", note=True)
    count = f"{len(records):,} run{'s' if len(records) != 1 else ''}"
    return page.page("Runs", [page.stack(table)], lead=f"{count} that ended, newest first")


def _read(store: Store, key: str) -> dict[str, Any]:
    run_id = key.split("/")[1]
    try:
        record: dict[str, Any] = json.loads(store.objects.read(key))
        return {**record, "run_id": run_id, "status": str(record["status"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"closing: {store.uri}/{key} is not an exit record: {error!r}", flush=True)
        return {"run_id": run_id, "status": "unreadable"}


def _row(record: Mapping[str, Any], has_report: bool) -> list[object]:
    name = record["run_id"]
    title = page.link(name, f"{quote(name)}/report.html") if has_report else name
    results = record.get("results") or []
    return [
        title,
        page.badge(record["status"], TONES.get(record["status"], "")),
        (record.get("details") or {}).get("preset"),
        str(record.get("start") or "")[:16],
        page.seconds(record.get("seconds")),
        concat(
            _failure(record.get("failure")), _early(record), *(page.stack(_result(one)) for one in results)
        ),
    ]


def _result(result: Mapping[str, Any]) -> str:
    """topics: promoted, gain of pre-training +6.5 points (+1.2 to +11.8) with 20 labels."""
    if "task" not in result:
        return f"{result['reference']}: {result['problem']}"
    parts = [result["verdict"]] if result.get("verdict") else []
    gain = result.get("gain")
    if gain:
        within = scorecard.span(gain, differences=True)
        found = f"{scorecard.points(gain['value'])} points ({within})"
        parts.append(f"gain of pre-training {found} with {result['labels']:,} labels")
    return f"{result['task']}: {', '.join(parts)}"


def _early(record: Mapping[str, Any]) -> str:
    """A run that ended after ingestion, because all of its data was known."""
    stages = {entry["stage"] for entry in record.get("stages") or []}
    early = record["status"] == "succeeded" and "ingestion" in stages and "tokenization" not in stages
    return "the data is unchanged" if early else ""


def _failure(failure: Mapping[str, Any] | None) -> str:
    if not failure:
        return ""
    task = f" of {failure['task']}" if failure["task"] else ""
    return f"{failure['stage']}{task}: {failure['error']['what']}"
