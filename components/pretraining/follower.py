"""Follower of a TrainJob: creates or adopts it, tells what it waits for, and sees to its end."""

from __future__ import annotations

import json
import time
from typing import Any

from components.lib.core.errors import (
    ConfigError,
    Interrupted,
    TrunklineError,
    WorkerLost,
    revived,
    root_cause,
)
from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.log import Follower
from components.lib.kubernetes.manifest import State, state
from components.lib.kubernetes.pod_watch import PodWatch
from components.lib.kubernetes.pods import moment
from components.lib.storage.artifacts import sha256
from components.lib.storage.lease import Lease
from components.lib.storage.store import Store
from components.pretraining import job as jobs
from components.pretraining.job import Job

POLL = 5.0  # seconds between two looks at the job
LAST_LINES = 15.0  # seconds that the log may take to come to its end
REMINDED = 600.0  # seconds after which it is told again what the pods wait for
ALIVE = 2.0  # minutes after which the lease of another run counts as dead


class TrainJobFollower:
    """One TrainJob from creation to deletion, and its files in the store.

    Args:
        told: signals that this process has received.
        patience: minutes that a person has to mend what keeps pods from starting.
    """

    def __init__(self, job: Job, store: Store, cluster: Cluster, told: list[int], patience: float) -> None:
        self.job, self.store, self.cluster, self.told, self.patience = job, store, cluster, told, patience
        self.lease = Lease(store.objects, self._prefix.rstrip("/"), str(job.run["run_id"]))
        self._out_of_memory: dict[
            tuple[str, str], int
        ] = {}  # (TrainJob, attempt) -> the step it goes back to

    def until_done(self, body: dict[str, Any], restarts: int) -> None:
        """Makes or adopts the job, again after a fault that may pass, until the store has the trunk."""
        spent = 0
        while self.store.find(self.job.key) is None:
            try:
                self._once(body)
            except TrunklineError as error:
                if type(error) is Interrupted or not error.retriable or spent == restarts:
                    raise
                spent += 1
                print(f"pretraining: a new TrainJob, number {spent}: {error}", flush=True)
        self._clear(jobs.NAME, "errors/")

    def _once(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        running = self._adopted(body)
        watch = PodWatch(self.cluster, name, moment(running["metadata"]["creationTimestamp"]))
        follower = Follower(self.cluster, name)
        follower.start()
        try:
            with watch.watching():
                running, ended = self._wait(running, watch)
                watch.look()
        finally:
            follower.end(0 if self.told else LAST_LINES)
            watch.tell()
        error = (
            None if ended.phase == "complete" else self._hopeless(running, watch) or self._cause(ended, watch)
        )
        if error is not None and not error.retriable:  # for whoever else follows this job
            text = json.dumps(error.to_dict()).encode()
            self.store.objects.write(f"{self._prefix}errors/launcher.json", text)
        self.cluster.delete(running)
        if error is None and self.store.find(self.job.key) is None:
            error = WorkerLost("the TrainJob ended without a trunk", where=name, found=ended.text)
        if error is not None:
            raise error

    def _adopted(self, body: dict[str, Any]) -> dict[str, Any]:
        """The running job of this name: a new one, or one that is there and has not ended."""
        name = body["metadata"]["name"]
        while True:
            found = self.cluster.get(name)
            if found is None:
                self._clear("errors/")
                self.job.write(self._place)
                verb = "made" if self.cluster.create(body) else "adopted"
                found = self.cluster.get(name)
                if found is None:
                    continue
            elif state(found).phase in ("failed", "complete") or found["metadata"].get("deletionTimestamp"):
                self.cluster.delete(found)
                continue
            else:
                verb = "adopted"
            print(f"pretraining: {verb} TrainJob {self.cluster.namespace}/{name}", flush=True)
            return found

    def _wait(self, running: dict[str, Any], watch: PodWatch) -> tuple[dict[str, Any], State]:
        """Follows the job to its end; tells when its state changes, and what its pods say."""
        name, shown, told = running["metadata"]["name"], "", time.monotonic()
        while True:
            now = state(running)
            watch.tell()
            if now.phase in ("complete", "failed") or self._hopeless(running, watch):
                return running, now
            if now.text != shown:
                shown, told = now.text, time.monotonic()
                print(f"pretraining: TrainJob {name}: {shown}", flush=True)
            elif time.monotonic() - told > REMINDED and (waits := watch.waiting()):
                told = time.monotonic()
                print(f"pretraining: TrainJob {name}: it still waits: {waits}", flush=True)
            time.sleep(POLL)
            if self.told:
                self._stop(running)
            found = self.cluster.get(name)
            if found is not None:  # this job, or the one that another launcher made after it
                running = found
            elif self.store.find(self.job.key) is not None:  # another launcher saw its end before us
                return running, State("complete", "AllJobsCompleted", "it was cleared away")
            else:
                said = [error for error in self._errors() if not error.retriable]
                if said:  # to another launcher
                    raise said[0]
                raise Interrupted("somebody deleted the TrainJob", where=name, fix="run again to resume")

    def _stop(self, running: dict[str, Any]) -> None:
        """Ends with the job, unless another run follows it, or waits for what it makes."""
        holder, others = self.lease.holder(), self.lease.wanted()
        if holder is not None and holder.owner != self.lease.owner and self.lease.alive(ALIVE):
            others.insert(0, holder.owner)
        if others:
            what = "the launcher was told to stop; the TrainJob goes on, since another run wants it"
            raise Interrupted(what, where=running["metadata"]["name"], found=", ".join(others))
        self.cluster.delete(running, wait=False)  # its pods save their state; we may have no time
        what = "the launcher was told to stop, and the TrainJob with it"
        raise Interrupted(what, fix="run again to resume")

    def _hopeless(self, running: dict[str, Any], watch: PodWatch) -> TrunklineError | None:
        """What comes again however often the pods are made anew."""
        name = running["metadata"]["name"]
        stuck = watch.stuck()
        if stuck and stuck[1] >= 60 * self.patience:
            what = f"the pods cannot start: {stuck[0]}"
            expected = f"mended within {self.patience:g} minutes, pretraining.launch.patience"
            return ConfigError(
                what, where=f"TrainJob {name}", expected=expected, fix="mend it, and run again"
            )
        for attempt, pod in watch.killed().items():
            key = (running["metadata"]["uid"], attempt)
            if key in self._out_of_memory:
                continue
            step = self._committed()
            if step in self._out_of_memory.values():
                what, fix = "the training needs more memory than it has", "lower pretraining.micro_batch"
                fix += ", or raise memory in pretraining.launch.resources"
                where = f"TrainJob {name}, twice after the checkpoint of step {step}"
                return ConfigError(what, where=where, found=pod.text, fix=fix)
            self._out_of_memory[key] = step
        return None

    def _committed(self) -> int:
        """The step from which a new start goes on."""
        names = [key.rpartition("/")[2] for key in self.store.objects.keys(f"{self.job.checkpoints}/")]
        return max((int(name.split(".")[0]) for name in names if name.endswith(".commit.json")), default=0)

    def _cause(self, ended: State, watch: PodWatch) -> TrunklineError:
        """The error that the pods left in the store; else what Kubernetes says."""
        where = f"TrainJob {self._name}"
        if ended.reason == "DeadlineExceeded":
            fix = "run again to resume, or raise pretraining.launch.hours"
            return Interrupted("the TrainJob's time is over", where=where, found=ended.text, fix=fix)
        if ended.reason == "TrainingRuntimeNotSupported":
            where = "pretraining.launch.runtime"
            return ConfigError("the runtime cannot be used", where=where, found=ended.text)
        found = "; ".join(filter(None, (watch.ended(), ended.text)))
        if watch.killed():
            fix = "lower pretraining.micro_batch or raise pretraining.launch.resources"
            return WorkerLost("the memory of a pod ran out", where=where, found=found, fix=fix)
        if errors := self._errors():
            error = root_cause(errors)
            # Pods that were told to stop, not by us: nodes were drained, or JobSet gave up.
            return WorkerLost(error.what, where=where, found=found) if type(error) is Interrupted else error
        return WorkerLost("the TrainJob failed without a word", where=where, found=found)

    def _errors(self) -> list[TrunklineError]:
        """What the pods, or another launcher, left in the store."""
        keys = list(self.store.objects.keys(f"{self._prefix}errors/"))
        return [revived(json.loads(self.store.objects.read(key))) for key in keys]

    def _clear(self, *parts: str) -> None:
        """Deletes what was told to the pods and by them; the lease beside it is that of the run."""
        for part in parts:
            for key in list(self.store.objects.keys(self._prefix + part)):
                self.store.objects.delete(key)

    @property
    def _name(self) -> str:
        return name_of(self.job)

    @property
    def _prefix(self) -> str:
        return f"launches/{self.job.key.digest}/"

    @property
    def _place(self) -> str:
        return f"{self.store.uri}/{self._prefix}".rstrip("/")


def name_of(job: Job) -> str:
    """The name of the TrainJob, which whoever wants the same trunk in the same store finds."""
    return f"trunkline-{sha256(f'{job.store} {job.key.digest}'.encode())[:20]}"
