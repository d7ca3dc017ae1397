"""What every row asks with: runs that are started and watched, waiting with a deadline, what was made."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.lib.core.errors import ServiceError, TrunklineError
from components.lib.storage.store import Store
from pipelines import submit
from pipelines.cluster import Cluster
from pipelines.compile import PREFIX
from pipelines.kubeflow import Kubeflow
from tests.acceptance.cluster import LIVE, Site, stage_of
from tests.acceptance.inside import BLOCKED, Inside
from tests.architecture.imports import ROOT

LASTS = "a training that lasts until something happens to it (STEPS=... makes it longer)"
CLOSED = 60.0  # seconds after the end of a run in which MLflow must know of it
PASSING = (ServiceError, ApiException, HTTPError, OSError)  # asked again, until the time is over
Found = tuple[Any, str]  # what was waited for, or None; what there is instead
Files = list[list[str]]


class Unmet(Exception):
    """Something is not as it must be."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(f"expected: {expected}; found: {found}")


class NotAsked(Exception):
    """A row that cannot be asked here, and why."""


def expect(holds: object, expected: str, found: object) -> None:
    """Raises Unmet unless it holds."""
    if not holds:
        raise Unmet(expected, found)


def trained_here(overrides: dict[str, Any]) -> Files:
    """Files of the trunk that the same settings make on this machine."""
    with tempfile.TemporaryDirectory(prefix="trunkline-acceptance-") as folder:
        words = [
            word for name, value in overrides.items() for word in ("--set", f"{name}={json.dumps(value)}")
        ]
        places = ["--store", f"{folder}/store", "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
        command = [sys.executable, "-m", "pipelines.local", "--preset", "smoke", *places, *words]
        code, said = _ended(command)
        expect(code == 0, "a run on this machine ends with 0", said[-600:])
        store = Store(f"{folder}/store", cache=Path(folder))
        record = next(
            store.objects.read(key) for key in store.objects.keys("runs/") if key.endswith("exit.json")
        )
        reference = outputs(json.loads(record), "pretraining")[0]
        return [[file.name, file.sha256] for file in store.resolve(reference).files]


def _ended(command: list[str]) -> tuple[int, str]:
    """Exit code and output of a program; if we are interrupted, it is told to stop, and waited for."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        process.terminate()  # it passes that on to its stages
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, said


def outputs(record: dict[str, Any], stage: str) -> list[str]:
    """References of what a stage of a run has made or reused."""
    return [
        one["reference"] for entry in record["stages"] if entry["stage"] == stage for one in entry["outputs"]
    ]


@dataclass
class Asking:
    """One cluster, and what was made there.

    Attributes:
        seconds: of a row, at most.
        steps: of a training that must last while something happens to it.
        resources: of a pod of a TrainJob.
        every: seconds between two looks.
        here: files of the trunk that settings make on this machine.
        again: whether pods are made anew that were deleted, and that failed; None: not known.
        failed: rows that have failed.
        used: what was made and stays, as somebody else uses it by now.
    """

    server: Kubeflow
    site: Site
    cluster: Cluster
    inside: Inside
    trainer: bool
    seconds: float
    steps: int
    resources: dict[str, str]
    every: float = 5.0
    here: Callable[[dict[str, Any]], Files] = trained_here
    again: dict[str, bool] | None = None
    deadline: float = 0.0
    started: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, set[str]] = field(default_factory=dict)
    known: dict[str, list[str]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _blocked: dict[str, float] = field(default_factory=dict)

    def note(self) -> None:
        """Remembers what was there before us, which stays."""
        pipeline_id = self.server.pipeline(f"{PREFIX}training")
        versions = self.server.versions(pipeline_id) if pipeline_id else []
        listed = self.server._listed(
            "experiments", self.server.list_experiments, namespace=self.server.namespace
        )
        self.known = {
            "pipelines": [pipeline_id],
            "versions": [one.pipeline_version_id for one in versions],
            "experiments": [one.experiment_id for one in listed],
            "mlflow": self.inside.ask("experiments", self.inside.tracking_uri),
        }
        self.inside.ask("note", self.inside.store, self.known)

    def until(self, expected: str, look: Callable[[], Found], seconds: float = 0.0) -> Any:
        """What `look` finds, asked again and again until the row's time is over, or so many seconds."""
        begun, said = time.monotonic(), ""
        end = min(self.deadline, begun + seconds) if seconds else self.deadline
        while True:
            try:
                found, said = look()
                if found is not None:
                    return found
            except PASSING as error:
                said = str(error).splitlines()[0]
            if time.monotonic() >= end:
                raise Unmet(expected, f"{said or 'nothing'}, after {time.monotonic() - begun:.0f} s")
            time.sleep(self.every)

    def abandon(self, runs: Collection[str]) -> None:
        """Terminates runs of a row that failed, if they live: the next row needs their room."""
        for run_id in runs:
            with contextlib.suppress(TrunklineError, *PASSING):
                if self.state(run_id) not in submit.ENDS:
                    self.server.terminate_run(run_id)

    def settings(self, **overrides: Any) -> dict[str, Any]:
        """Overrides of a run: its model has a name of ours, and its trunk is of no other row."""
        seed = 1 + int(self.inside.name[-4:], 16) + 100 * len(self.started)
        given = {name.replace("__", "."): value for name, value in overrides.items()}
        return {"registration.name": self.inside.name, "pretraining.seed": seed, **given}

    def long(self, *, trainer: bool = False, **overrides: Any) -> dict[str, Any]:
        """Overrides of a training that lasts, without tasks; by a TrainJob of two pods if asked for."""
        words = {"pretraining__steps": self.steps, "pretraining__checkpoint_every": 200, "tasks": []}
        if trainer:
            launch = {"nodes": 2, "resources": self.resources, **overrides.pop("launch", {})}
            words |= {"pretraining__launcher": "trainjob", "pretraining__launch": launch}
        return self.settings(**words, **overrides)

    def start(self, overrides: dict[str, Any]) -> str:
        """Starts a run as `make submit` does; returns its id."""
        given = {"preset": "smoke", "overrides": overrides, "store": self.inside.store}
        run_id = submit.submit(self.server, "training", {**given, "tracking_uri": self.inside.tracking_uri})
        self.started[run_id] = overrides
        return run_id

    def retry(self, run_id: str) -> None:
        """What *Retry* does in the UI."""
        self.server._run_api.run_service_retry_run(run_id)
        self.until(
            "RUNNING after Retry", lambda: (self.state(run_id) not in submit.ENDS or None, "it has ended")
        )

    def state(self, run_id: str) -> str:
        """In Kubeflow's words; TrainJobs that the run has by now are remembered."""
        named = {one["metadata"]["name"] for one in self.site.trainjobs(run_id)}
        self.jobs.setdefault(run_id, set()).update(named)
        return str(self.server.get_run(run_id).state or "PENDING")

    def _unblocked(self, run_id: str) -> None:
        """Raises Unmet if a pod has waited too long for what a person must mend, such as its image."""
        blocked = {pod.name: pod for pod in map(self.site.read, self.site.of_run(run_id)) if pod.stuck}
        now = time.monotonic()
        self._blocked = {name: self._blocked.get(name, now) for name in blocked}
        for name, since in self._blocked.items():
            if now - since > BLOCKED:
                found = f"{blocked[name].text}; kubectl describe pod -n {self.site.namespace} {name}"
                raise Unmet(f"the pods of run {run_id} start", found)

    def live(self, run_id: str, expected: str) -> str:
        """The state of a run, of which something is expected that it cannot do any more once it has ended."""
        state = self.state(run_id)
        self._unblocked(run_id)
        if state in submit.ENDS:
            raise Unmet(expected, f"{state}; {why(self.record(run_id))}")
        return state

    def ended(self, run_id: str) -> str:
        """The last state of a run."""

        def look() -> Found:
            state = self.state(run_id)
            self._unblocked(run_id)
            return state if state in submit.ENDS else None, f"{state} ({self.waiting(run_id)})"

        return str(self.until(f"run {run_id} ends", look))

    def waiting(self, run_id: str) -> str:
        """Stages whose pods are there and have not ended, and what they wait for."""
        pods = [pod for pod in self.site.of_run(run_id) if pod.status.phase in LIVE]
        read = [(stage_of(pod), pod.status.phase, self.site.read(pod)) for pod in pods]
        shown = [
            f"{stage} {phase} {pod.text if pod.reason else ''}".rstrip()
            for stage, phase, pod in read
            if stage
        ]
        return ", ".join(shown) or "no stage runs"

    def training(self, run_id: str) -> Any:
        """The pod of the pretraining stage, when its training is under way."""

        def look() -> Found:
            state, pod = self.live(run_id, LASTS), self.site.step(run_id, "pretraining")
            if pod is None or pod.status.phase != "Running":
                return None, f"{state}, {self.waiting(run_id)}"
            began = [one for one in self.tracked(run_id) if one["stage"] == "pretraining"]
            return pod if began else None, "the pod runs, and MLflow knows of no training"

        return self.until(f"the training of run {run_id} begins", look)

    def record(self, run_id: str) -> dict[str, Any]:
        """The exit record of a run, with `report` and what the `index` says."""
        found: dict[str, Any] = self.inside.ask("record", self.inside.store, run_id)
        expect(found["record"], f"a record runs/{run_id}/exit.json", "none")
        return {**found["record"], "report": found["report"], "index": found["index"]}

    def tracked(self, run_id: str) -> list[dict[str, Any]]:
        """MLflow's runs of a run."""
        return list(self.inside.ask("runs", self.inside.tracking_uri, [run_id]))

    def succeeded(self, run_id: str) -> dict[str, Any]:
        """The record of a run that has ended well, everywhere."""
        state = self.ended(run_id)
        record = self.record(run_id)
        expect(state == "SUCCEEDED", f"run {run_id} SUCCEEDED", f"{state}; {why(record)}")
        expect(
            record["status"] == "succeeded", "its record says succeeded", f"{record['status']}; {why(record)}"
        )
        expect(
            record["index"] == "succeeded", "the index of runs says succeeded", record["index"] or "nothing"
        )
        self.closed(run_id, "FINISHED")
        return record

    def closed(self, run_id: str, *statuses: str, ids: Collection[str] = ()) -> None:
        """All of its MLflow runs, or those of `ids`, have ended so; KFP's plugin may be late."""

        def look() -> Found:
            found = self.tracked(run_id)
            there = [one for one in found if not ids or one["run_id"] in ids]
            wrong = [f"{one['run_name']} {one['status']}" for one in there if one["status"] not in statuses]
            return found if found and not wrong else None, ", ".join(wrong) or "MLflow has none"

        self.until(f"its runs in MLflow are {' or '.join(statuses)}", look, CLOSED)


def why(record: dict[str, Any]) -> str:
    """What a record says of a failure."""
    failure = record.get("failure") or {}
    said = failure.get("error") or {}
    words = [str(said[name]) for name in ("what", "found", "fix") if said.get(name)]
    return f"{failure.get('stage', 'no stage')}: {'; '.join(words)}" if failure else "no failure is told"
