"""A run's ledger on pages: time and reuse of each stage, notices, the account of ingestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages import charts, page
from components.lib.pages.page import Figure

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


def account(records: Sequence[Record]) -> Record:
    """What ingestion read, kept and left out; empty if it has not ended in this run."""
    return next((record["account"] for record in records if record.get("account")), {})


def account_figures(account: Record) -> list[Figure]:
    """Records read, kept, dropped and quarantined."""
    files, held = account["sources"], account["documents"].get("validation", 0)
    return [
        Figure("records read", account["read"], f"from {files:,} file{'s' if files != 1 else ''}"),
        Figure("kept", account["kept"], f"{held:,} of them held out"),
        Figure("dropped", sum(account["dropped"].values()), "by filters and as duplicates"),
        Figure("quarantined", account["quarantined"], "could not be read"),
    ]


def left_out(account: Record) -> list[tuple[str, int, str]]:
    """Rows: why records were left out, how many, and their share of those read."""
    reasons = sorted(account.get("dropped", {}).items(), key=lambda item: (-item[1], item[0]))
    if account.get("quarantined"):
        reasons.append(("quarantined", account["quarantined"]))
    read = account.get("read") or 1
    return [(reason.replace("_", " "), count, f"{count / read:.2%}") for reason, count in reasons]


def passed_over(table: Mapping[str, Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Rows of what a listing left out: the reason, how many files, some of their names."""
    found = table.items()
    return [(reason, entry["count"], page.part("listing", entry["examples"])) for reason, entry in found]


def _named(record: Record) -> str:
    return f"{record['stage']} ({record['task']})" if record.get("task") else str(record["stage"])


def _reused(record: Record) -> bool:
    outputs = record.get("outputs", [])
    return bool(outputs) and all(output["reused"] for output in outputs)
