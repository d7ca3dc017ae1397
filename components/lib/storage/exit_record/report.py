"""The report of a run without tasks: what became of its data, what it took. Promotion reports on tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages import charts, ledger, page
from components.lib.storage.store import Store


def write(store: Store, record: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
    """Makes `runs/<run>/report.html`, unless promotion has, or the run read no data.

    Args:
        record: the exit record.
        records: the run's ledger.
    """
    reported = any(one["stage"] == "promotion" and not one["passed_on"] for one in records)
    if ledger.account(records) and not reported:
        store.objects.write(f"runs/{record['run_id']}/report.html", render(record, records).encode())


def render(record: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """The page."""
    return page.render(
        "lib/storage/exit_record/report.html.j2",
        str((record.get("details") or {}).get("preset") or record["run_id"]),
        lead=f"Run {record['run_id']}: {record['status']}",
        footer="Made by Trunkline.",
        account=ledger.account(records),
        failure=record["failure"],
        records=records,
        charts=charts,
        ledger=ledger,
    )
