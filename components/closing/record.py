"""The exit record: how a run ended, what failed and why, what it made and how long that took."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from components import STAGES
from components.closing.config import Config
from components.lib.core.errors import IntegrityError, InternalError, MissingError
from components.lib.pages import scorecard
from components.lib.storage.stage import Context, read_records
from components.lib.storage.store import Store

PACKAGES = ("boto3", "datasets", "kfp", "mlflow", "numpy", "pyarrow", "tokenizers", "torch", "transformers")
ENDED_WELL = ("SUCCEEDED", "COMPLETE", "CACHED")  # as KFP's local runners say it, and its server

STAGE = ("stage", "task", "status", "seconds", "outputs", "passed_on")  # what is kept of its record

Record = dict[str, Any]


def write(config: Config, context: Context) -> Record:
    """Makes the record from the ledger and KFP's state, and stores it as `runs/<run>/exit.json`."""
    ledger = read_records(context)
    failure = _failure(config, ledger)
    status = "failed" if failure else "succeeded"
    if config.state.upper().startswith("CANCEL"):
        status = "cancelled"
    start, end = (f([r[k] for r in ledger]) if ledger else None for f, k in ((min, "start"), (max, "end")))
    record: Record = {
        "run_id": config.run_id,
        "status": status,
        "state": config.state,
        "message": config.message,
        "failure": failure,
        "start": _time(start),
        "end": _time(end),
        "seconds": round(end - start, 3) if start is not None and end is not None else None,
        "details": next((r["details"] for r in ledger if r.get("details")), {}),
        "stages": [{k: r[k] for k in STAGE} for r in ledger],
        "results": _results(context.store, ledger),
        "versions": _versions(),
    }
    data = json.dumps(record, indent=1, sort_keys=True).encode()
    context.store.objects.write(f"runs/{config.run_id}/exit.json", data)
    return record


def describe(record: Mapping[str, Any]) -> str:
    """One line for the log."""
    failure = record["failure"]
    if failure is None:
        return f"closing: run {record['run_id']} {record['status']}"
    task = f" of {failure['task']}" if failure["task"] else ""
    what = f"{failure['stage']}{task}: {failure['error']['what']}"
    return f"closing: run {record['run_id']} {record['status']} in {what}"


def _failure(config: Config, ledger: Sequence[Record]) -> Record | None:
    """The first stage that noted an error; if none did and the run is not at its end, the likely one."""
    failed = sorted((r for r in ledger if r["error"]), key=lambda r: r["end"])
    if failed:
        return {name: failed[0][name] for name in ("stage", "task", "error")}
    if config.state.upper() in ENDED_WELL or _complete(ledger):
        return None
    stage, task = _unrecorded(ledger)
    last = max(ledger, key=lambda r: r["end"])["stage"] if ledger else "the start"
    error = InternalError(
        "no stage noted an error: a process was killed or never started",
        where=f"after {last}",
        found=config.message,
        fix=f"look at the log and the events of '{stage}': out of memory, a lost node, a missing image",
    )
    error.stage = stage
    return {"stage": stage, "task": task, "error": error.to_dict()}


def _complete(ledger: Sequence[Record]) -> bool:
    """Whether the last stage that this run has is in the ledger.

    KFP's server may say RUNNING of a graph with inner graphs though all of it has ended (2.16), and FAILED of
    one in which a stage succeeded at its second attempt.
    """
    return "promotion" in {record["stage"] for record in ledger}


def _unrecorded(ledger: Sequence[Record]) -> tuple[str, str]:
    """The stage (and task) that should have recorded next, but was killed or never began."""
    tuned, scored = ({r["task"] for r in ledger if r["stage"] == s} for s in ("finetuning", "evaluation"))
    if tuned - scored:
        return "evaluation", min(tuned - scored)
    ended = {record["stage"] for record in ledger}
    return next((name for name in STAGES if name not in ended), "closing"), ""


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
