"""The index of runs: one page, newest first, from the exit records in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from components.lib.pages import page
from components.lib.storage.store import Store

TONES = {"succeeded": "good", "failed": "bad", "cancelled": "warn", "unreadable": "warn"}


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
    count = f"{len(records):,} run{'s' if len(records) != 1 else ''}"
    rows = [_row(record, record["run_id"] in reports) for record in records]
    return page.render(
        "lib/storage/exit_record/index.html.j2", "Runs", lead=f"{count} that ended, newest first", rows=rows
    )


def _row(record: Mapping[str, Any], has_report: bool) -> list[object]:
    """Name, status, preset, start, time and outcome of a run."""
    name, status = record["run_id"], record["status"]
    title = page.part("link", name, f"{quote(name)}/report.html") if has_report else name
    badge = page.part("badge", status, TONES.get(status, ""))
    try:
        results = [_result(one) for one in record.get("results") or []]
        outcome = [_failure(record.get("failure")), _passed_on(record), *results]
        preset = (record.get("details") or {}).get("preset")
        start, time = str(record.get("start") or "")[:16], page.seconds(record.get("seconds"))
        return [title, badge, preset, start, time, page.part("stacked", [line for line in outcome if line])]
    except Exception as error:  # a record that another version wrote costs its own row
        return [title, badge, None, "", "", page.problem(error)]


def _read(store: Store, key: str) -> dict[str, Any]:
    run_id = key.split("/")[1]
    try:
        record: dict[str, Any] = json.loads(store.objects.read(key))
        return {**record, "run_id": run_id, "status": str(record["status"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"closing: {store.uri}/{key} is not an exit record: {error!r}", flush=True)
        return {"run_id": run_id, "status": "unreadable"}


def _result(result: Mapping[str, Any]) -> str:
    """topics: promoted. Use the trunk with 20 labels (+6.5 points of accuracy ...)."""
    if "task" not in result:
        return f"{result['reference']}: {result['problem']}"
    verdict, sentence = result.get("verdict") or "not gated", result.get("sentence", "")
    return f"{result['task']}: {verdict}. {sentence}".rstrip()


def _passed_on(record: Mapping[str, Any]) -> str:
    """Why stages had nothing to do, such as unchanged data."""
    reasons = (entry.get("passed_on") for entry in record.get("stages") or [])
    return next(filter(None, reasons), "")


def _failure(failure: Mapping[str, Any] | None) -> str:
    if not failure:
        return ""
    task = f" of {failure['task']}" if failure["task"] else ""
    return f"{failure['stage']}{task}: {failure['error']['what']}"
