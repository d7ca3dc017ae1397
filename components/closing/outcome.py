"""Outcome of a run: succeeded, failed or cancelled, and why; from its ledger, KFP and Kubernetes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components import STAGES
from components.closing import deaths
from components.closing.config import Config
from components.lib.core.errors import InternalError, TrunklineError
from components.lib.storage import exit_record
from components.lib.storage.exit_record.record import Record, noted

if TYPE_CHECKING:
    from components.lib.kubernetes.runs import RunCluster

ENDED_WELL = ("SUCCEEDED", "COMPLETE", "CACHED")  # as KFP's local runners say it, and its server


@dataclass(frozen=True)
class Seen:
    """What Kubernetes says of the run; nothing on a laptop."""

    cluster: RunCluster | None = None
    workflow: Mapping[str, Any] | None = None
    pods: Sequence[Any] = field(default=())
    terminated: bool = False


def observe(run_id: str) -> Seen:
    """Asks Kubernetes, from within a pod; a right that is missing is told and costs the answer."""
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return Seen()
    from components.lib.kubernetes.runs import RunCluster, terminated

    try:
        cluster = RunCluster()
        workflow = cluster.workflow(run_id)
        pods = cluster.pods(workflow["metadata"]["name"]) if workflow else []
        return Seen(cluster, workflow, pods, terminated(workflow))
    except TrunklineError as error:
        print(f"closing: Kubernetes does not say how the run ended: {error}", flush=True)
        return Seen()


def judge(
    config: Config, ledger: Sequence[Record], seen: Seen, written: Record | None
) -> tuple[str, Record | None]:
    """Status and failure of the run.

    KFP's state proves no success but in words of `ENDED_WELL`: it is RUNNING after Terminate, and after runs
    that succeeded with a skipped task or an empty loop. Success is what the last stage has written.

    Args:
        written: the exit record that is there already.
    """
    failed = noted(ledger)
    if seen.terminated or config.state.upper().startswith("CANCEL"):
        return exit_record.CANCELLED, failed or _unpulled(seen, ledger)
    if failed:
        return exit_record.FAILED, failed
    succeeded = written is not None and written["status"] == exit_record.SUCCEEDED
    if succeeded or config.state.upper() in ENDED_WELL:
        return exit_record.SUCCEEDED, None
    return exit_record.FAILED, _death(seen, ledger) or _guess(config, ledger)


def _death(seen: Seen, ledger: Sequence[Record]) -> Record | None:
    ended = {one["stage"] for one in ledger} - {"finetuning", "evaluation"}  # which are there for each task
    death = deaths.first(seen.workflow, seen.pods, ended)
    if death is None:
        return None
    stage, task = _unrecorded(ledger)
    task = task if stage == death.stage else ""
    return {"stage": death.stage or stage, "task": task, "error": death.error.to_dict()}


def _unpulled(seen: Seen, ledger: Sequence[Record]) -> Record | None:
    """What a run waited for in vain until somebody ended it; that its steps were killed explains nothing."""
    found = _death(seen, ledger)
    return found if found and found["error"]["kind"] == "ConfigError" else None


def _guess(config: Config, ledger: Sequence[Record]) -> Record:
    """Where neither stage nor Kubernetes says why: the likely one."""
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


def _unrecorded(ledger: Sequence[Record]) -> tuple[str, str]:
    """The stage (and task) that should have recorded next, but was killed or never began."""
    tuned, scored = ({r["task"] for r in ledger if r["stage"] == s} for s in ("finetuning", "evaluation"))
    if tuned - scored:
        return "evaluation", min(tuned - scored)
    ended = {record["stage"] for record in ledger}
    return next((name for name in STAGES if name not in ended), "closing"), ""
