"""Rows of acceptance that any cluster with Kubeflow Pipelines answers: the ends of runs, and a schedule."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pipelines import compile, recurring, schedule, submit
from pipelines.kubeflow import silent
from pipelines.schedule import Schedules
from tests.acceptance.asking import Asking, Found, NotAsked, expect, outputs, why
from tests.acceptance.cluster import JOB

LEFT = 90.0  # seconds after Terminate in which all of a run must end
PODS = 22  # of a run with one task
TOLD = re.compile(r"exit (code|status) -?\d+|\b137\b|SIGKILL|signal: killed", re.IGNORECASE)
GUESS = "out of memory, a lost node, a missing image"


def success(asking: Asking) -> str:
    """A run that succeeds: record, index, report, MLflow, at most so many pods."""
    run_id = asking.start(asking.settings())
    record = asking.succeeded(run_id)
    expect(record["report"], "a report in the store", "none")
    expect(record["results"], "the record has a result of the task", record["results"])
    found, pods = asking.tracked(run_id), asking.site.of_run(run_id)
    roots = [one for one in found if not one["parent"]]
    expect(len(roots) == 1, "one parent run in MLflow", [one["run_name"] for one in roots])
    expect(len(pods) <= PODS, f"at most {PODS} pods", len(pods))
    return f"{record['seconds']:.0f} s, {len(pods)} pods, {len(found)} runs in MLflow"


def digest(asking: Asking) -> str:
    """The trunk is, byte for byte, that of the same settings on this machine."""
    run_id = next(iter(asking.started), "") or asking.start(asking.settings(tasks=[]))
    asking.ended(run_id)
    return same_bytes(asking, run_id, {"tasks": []})


def same_bytes(asking: Asking, run_id: str, changed: dict[str, object]) -> str:
    """Compares the trunk of a run with one that is made here, with settings that do not change it."""
    if asking.state(run_id) != "SUCCEEDED":
        raise NotAsked(f"run {run_id} has not succeeded")
    reference = outputs(asking.record(run_id), "pretraining")[0]
    there = asking.inside.ask("files", asking.inside.store, reference)
    overrides = {name: value for name, value in asking.started[run_id].items() if "launch" not in name}
    here = asking.here({**overrides, **changed})
    differ = sorted(name for name, _ in {tuple(one) for one in here} ^ {tuple(one) for one in there})
    expect(
        not differ, f"the {len(here)} files of a local trunk", f"others: {', '.join(dict.fromkeys(differ))}"
    )
    return f"{len(here)} files are those of a local run"


def terminate(asking: Asking) -> str:
    """A run that is terminated in the midst of training; with TRAINER=1, of a TrainJob."""
    run_id = asking.start(asking.long(trainer=asking.trainer))
    asking.training(run_id)
    if asking.trainer:
        asking.until(
            "a TrainJob with running pods",
            lambda: (trained_by(asking, run_id) or None, "none"),
        )
    return cancelled(asking, run_id)


def trained_by(asking: Asking, run_id: str) -> list[Any]:
    """Running pods of the TrainJobs of a run."""
    asking.state(run_id)
    pods = [pod for job in asking.jobs[run_id] for pod in asking.site.pods(f"{JOB}={job}")]
    return [pod for pod in pods if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]


def cancelled(asking: Asking, run_id: str) -> str:
    """Terminates a run; in time nothing of it runs, and record, MLflow and the exit code say so."""
    live = [one["run_id"] for one in asking.tracked(run_id) if one["status"] == "RUNNING" and one["stage"]]
    asking.state(run_id)
    asking.server.terminate_run(run_id)
    begun = time.monotonic()

    def look() -> Found:
        state = asking.state(run_id)
        left = asking.site.running(run_id, asking.jobs[run_id])
        return True if state in submit.ENDS and not left else None, f"{state}, {', '.join(left) or 'no pod'}"

    asking.until(f"nothing runs {LEFT:.0f} s after Terminate", look, LEFT)
    took = time.monotonic() - begun
    record = asking.record(run_id)
    expect(record["status"] == "cancelled", "the record says cancelled", f"{record['status']}; {why(record)}")
    if live:
        asking.closed(run_id, "KILLED", ids=live)
    asking.closed(run_id, "KILLED", "FAILED", "FINISHED")
    with contextlib.redirect_stdout(io.StringIO()):
        code = submit._wait(asking.server, run_id, asking.inside.store, asking.every)
    expect(code == submit.TOLD_TO_STOP, f"WAIT=1 ends with {submit.TOLD_TO_STOP}", code)
    return f"nothing is left after {took:.0f} s"


def deleted(asking: Asking) -> str:
    """A pod that is deleted: made anew where the cluster does that; else told, and Retry goes on."""
    run_id = asking.start(asking.long())
    asking.site.delete_pod(asking.training(run_id).metadata.name)
    return _comes_back(asking, run_id, "deleted", lambda text: "deleted" in text.lower())


def killed(asking: Asking) -> str:
    """A step whose Python is killed (kill -9): its reason is told, MLflow knows its end, Retry succeeds."""
    run_id = asking.start(asking.long())
    pod = asking.training(run_id).metadata.name
    asking.site.kill(pod)
    return _comes_back(asking, run_id, "failed", lambda text: bool(TOLD.search(text)) and GUESS not in text)


def _comes_back(asking: Asking, run_id: str, kind: str, told: Callable[[str], bool]) -> str:
    """A run after an accident of a pod; `told` says whether the record's words name it."""
    state, again = asking.ended(run_id), (asking.again or {}).get(kind)
    if state == "SUCCEEDED":
        asking.succeeded(run_id)
        return "its pod was made anew, and the run succeeded"
    record = asking.record(run_id)
    expect(not again, "the pod is made anew, as this cluster is set", f"{state}; {why(record)}")
    expect(record["status"] == "failed", "the record says failed", record["status"])
    expect(record["failure"]["stage"] == "pretraining", "it names pretraining", record["failure"]["stage"])
    expect(told(why(record)), f"it tells that the pod {kind}, and how", why(record))
    asking.closed(run_id, "FAILED", "KILLED", "FINISHED")
    asking.retry(run_id)
    asking.succeeded(run_id)
    return f"told ({why(record)[:100]}); Retry: succeeded, in the record and the index too"


def equal(asking: Asking) -> str:
    """Two runs of equal settings at once: both succeed, with one trunk."""
    overrides = asking.settings(pretraining__steps=asking.steps // 6, tasks=[])
    runs = [asking.start(overrides), asking.start(overrides)]
    records = [asking.succeeded(run_id) for run_id in runs]
    trunks = {outputs(record, "pretraining")[0] for record in records}
    expect(len(trunks) == 1, "one trunk", trunks)
    return "both succeeded, with one trunk"


def one_model(asking: Asking) -> str:
    """Two runs of one registered model at once: both succeed."""
    runs = [asking.start(asking.settings()), asking.start(asking.settings())]
    found = [asking.succeeded(run_id)["results"] for run_id in runs]
    verdicts = [one.get("verdict") or "not gated" for results in found for one in results]
    return f"both succeeded: {', '.join(verdicts)}"


def scheduled(asking: Asking) -> str:
    """A schedule that fires, with the version that it was applied with, though there is a newer one."""
    with tempfile.TemporaryDirectory(prefix="trunkline-acceptance-") as folder:
        declared = {
            "cron": "*/2 * * * *",
            "preset": "smoke",
            "overrides": asking.settings(tasks=[]),
            "store": asking.inside.store,
            "tracking_uri": asking.inside.tracking_uri,
            "skip_unchanged": False,
        }
        Path(folder, "acceptance.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
        owner = asking.inside.name
        with contextlib.ExitStack() as ends:
            ends.callback(_disabled, asking)  # what is deleted takes its runs with it
            Schedules(asking.server, recurring.load(Path(folder)), owner).apply()
            (made,) = _recurring(asking)
            ends.callback(asking.server.delete_pipeline_version, *_newer(asking))
            words = ["diff", "--endpoint", asking.server.endpoint, "--folder", folder, "--owner", owner]
            with contextlib.redirect_stdout(io.StringIO()) as said:
                code = schedule.main(words)
            expected = "`diff` tells that there is a newer version"
            expect("newer" in said.getvalue(), expected, f"{code}: {said.getvalue()}")
            run = asking.until("a run of the schedule", lambda: _fired(asking, made.recurring_run_id))
    asking.started[run.run_id] = declared["overrides"]
    version, pinned = (one.pipeline_version_reference.pipeline_version_id for one in (run, made))
    expect(pinned, "a schedule that names its version", "none")
    expect(version == pinned, f"a run of version {pinned}", version)
    asking.succeeded(run.run_id)
    return "it fired, with its own version, and succeeded"


def _recurring(asking: Asking) -> list[Any]:
    """The recurring runs of this acceptance."""
    return [one for one in asking.server.all_recurring_runs() if asking.inside.name in str(one.display_name)]


def _disabled(asking: Asking) -> None:
    for one in _recurring(asking):
        asking.server.disable_recurring_run(one.recurring_run_id)


def _newer(asking: Asking) -> tuple[str, str]:
    """Makes a version newer than what is scheduled, which does the same; ids of pipeline and version."""
    pipeline_id = asking.server.pipeline(f"{compile.PREFIX}training")
    specification, platform = yaml.safe_load_all(compile.text("training"))
    specification["pipelineInfo"]["description"] = "Of an acceptance: not to be used."
    with tempfile.TemporaryDirectory(prefix="trunkline-acceptance-") as folder:
        path = Path(folder, "training.yaml")
        path.write_text(yaml.safe_dump_all([specification, platform]), encoding="utf-8")
        with silent():
            made = asking.server.upload_pipeline_version(str(path), asking.inside.name, pipeline_id)
    return pipeline_id, str(made.pipeline_version_id)


def _fired(asking: Asking, recurring_run_id: str) -> Found:
    words = {"sort_by": "created_at desc", "page_size": 50, "namespace": asking.server.namespace or None}
    found = asking.server.list_runs(**words).runs or []
    return next((one for one in found if one.recurring_run_id == recurring_run_id), None), "no run yet"


ROWS = {
    "success": success,
    "digest": digest,
    "terminate": terminate,
    "deleted": deleted,
    "killed": killed,
    "equal": equal,
    "one-model": one_model,
    "schedule": scheduled,
}
