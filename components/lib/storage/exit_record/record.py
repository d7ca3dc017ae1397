"""Exit record of a run: how it ended, what failed and why, what it made and how long that took."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.pages import scorecard
from components.lib.storage.store import Store

PACKAGES = ("boto3", "datasets", "kfp", "mlflow", "numpy", "pyarrow", "tokenizers", "torch", "transformers")
STAGE = ("stage", "task", "status", "seconds", "outputs", "passed_on")  # what is kept of its record

Record = dict[str, Any]


def make(
    store: Store,
    run_id: str,
    ledger: Sequence[Record],
    status: str,
    *,
    state: str = "",
    message: str = "",
    failure: Record | None = None,
) -> Record:
    """The record; see `exit_record.write`."""
    start, end = (f([r[k] for r in ledger]) if ledger else None for f, k in ((min, "start"), (max, "end")))
    return {
        "run_id": run_id,
        "status": status,
        "state": state,
        "message": message,
        "failure": noted(ledger) or failure,
        "start": _time(start),
        "end": _time(end),
        "seconds": round(end - start, 3) if start is not None and end is not None else None,
        "details": next((r["details"] for r in ledger if r.get("details")), {}),
        "stages": [{k: r[k] for k in STAGE} for r in ledger],
        "results": _results(store, ledger),
        "versions": _versions(),
    }


def noted(ledger: Sequence[Record]) -> Record | None:
    """The failure that stages have noted: the first of several is the cause."""
    failed = sorted((r for r in ledger if r["error"]), key=lambda r: r["end"])
    return {name: failed[0][name] for name in ("stage", "task", "error")} if failed else None


def describe(record: Mapping[str, Any]) -> str:
    """One line for the log."""
    failure = record["failure"]
    if failure is None:
        return f"closing: run {record['run_id']} {record['status']}"
    task = f" of {failure['task']}" if failure["task"] else ""
    what = f"{failure['stage']}{task}: {failure['error']['what']}"
    return f"closing: run {record['run_id']} {record['status']} in {what}"


def _results(store: Store, ledger: Sequence[Record]) -> list[Record]:
    """What the run found of each task: which start to use, the primary metric, the gate's decision."""
    verdicts: Mapping[str, str] = {}
    found: list[Record] = []
    for reference in (output["reference"] for record in ledger for output in record["outputs"]):
        stage = reference.partition("/")[0]
        if stage not in ("evaluation", "promotion"):
            continue
        try:
            facts = store.resolve(reference).facts
        except (MissingError, IntegrityError) as error:
            found.append({"reference": reference, "problem": error.what})
            continue
        if stage == "promotion":
            verdicts = facts.get("tasks", {})
        else:
            found.append(_result(facts))
    return [{**one, "verdict": verdicts.get(one.get("task", ""), "")} for one in found]


def _result(facts: Mapping[str, Any]) -> Record:
    compared = facts.get("comparison") or {}
    return {
        "task": facts["task"],
        "metric": scorecard.title(facts),
        "value": facts["metrics"][facts["primary"]],
        "sentence": compared.get("sentence", ""),
        "recommended": {str(one["count"]): one["start"] for one in compared.get("choices", [])},
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an image holds only what its stages need
    return versions


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
