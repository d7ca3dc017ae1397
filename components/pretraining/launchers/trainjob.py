"""TrainJob launcher: training on a cluster by Kubeflow Trainer; creates or adopts a job, and follows it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from components.lib.core import hardware, signals
from components.lib.core.errors import (
    ConfigError,
    Interrupted,
    TrunklineError,
    WorkerLost,
    revived,
    root_cause,
)
from components.lib.core.settings import from_dict, setting
from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.log import Follower
from components.lib.kubernetes.manifest import Place, State, state, trainjob
from components.lib.storage.store import Store
from components.pretraining.config import Config as Settings
from components.pretraining.job import Job

POLL = 5.0  # seconds between two looks at the job
LAST_LINES = 15.0  # seconds that the log may take to come to its end
PASSED_ON = (  # variables of this step that the pods get as well; no secrets
    "MLFLOW_EXPERIMENT_ID MLFLOW_RUN_ID MLFLOW_TRACKING_AUTH MLFLOW_TRACKING_URI MLFLOW_WORKSPACE "
    "TRUNKLINE_COMMIT"
).split()
KINDS = ("TrainingRuntime", "ClusterTrainingRuntime")


@dataclass(frozen=True)
class Config:
    """The TrainJob; processes a node are `pretraining.nproc`."""

    nodes: int = setting(1, "pods", minimum=1, maximum=65536)
    resources: dict[str, Any] = setting({}, "of a pod, such as {cpu: 8, memory: 64Gi, nvidia.com/gpu: 8}")
    image: str = setting("", "of the pods; empty: that of this step, else the runtime's")
    runtime: str = setting("trunkline-torch", "the TrainingRuntime, as the chart installs it")
    runtime_kind: str = setting("TrainingRuntime", "its kind", choices=KINDS)
    namespace: str = setting("", "empty: that of this step")
    queue: str = setting("", "Kueue's LocalQueue, in which the job waits for its turn")
    hours: float = setting(0.0, "after which the job is ended; 0 = never", minimum=0.0)
    environment: dict[str, str] = setting({}, "variables of the pods; never a secret")
    secrets: dict[str, tuple[str, ...]] = setting({}, "Secret -> its keys that become variables")
    pod: dict[str, Any] = setting({}, "patches of the pods' spec: nodeSelector, tolerations, volumes, ...")

    def check(self) -> Iterator[ConfigError]:
        """What Trainer would refuse, or worse: take."""
        for name in (*self.environment, *(key for keys in self.secrets.values() for key in keys)):
            if name.startswith("PET_"):
                what, fix = (
                    "the variables of rendezvous are Trainer's own",
                    "nodes and pretraining.nproc say it",
                )
                yield ConfigError(what, where="pretraining.launch.environment", found=name, fix=fix)


def launch(job: Job, options: Config) -> None:
    """Trains to the end.

    A launcher that is started again adopts the job that the one before has left running: its name follows
    from the trunk's key.

    Raises:
        Interrupted: if this process was told to stop, the job's time ran out, or somebody deleted the job.
        WorkerLost: if pods were lost more than `restarts` times.
        TrunklineError: what a pod had to say.
    """
    settings = from_dict(Settings, job.config, "pretraining")
    store = Store(job.store)
    if store.objects.local("") is not None and not options.pod:
        what, expected = "the pods cannot reach the store", "s3://bucket/prefix"
        fix = "or mount a shared volume by pretraining.launch.pod.volumes"
        raise ConfigError(what, where="store", found=store.uri, expected=expected, fix=fix)
    cluster = Cluster(options.namespace)
    job = replace(job, config={**job.config, "nproc": settings.nproc or _gpus(options) or 1})
    with signals.noted() as told:
        body = _body(job, options, cluster)
        _Launch(job, store, cluster, told).until_done(body, settings.restarts)


class _Launch:
    """One TrainJob from creation to deletion, and its files in the store."""

    def __init__(self, job: Job, store: Store, cluster: Cluster, told: list[int]) -> None:
        self.job, self.store, self.cluster, self.told = job, store, cluster, told

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
        self._clear()

    def _once(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        running = self._adopted(body)
        follower = Follower(self.cluster, name)
        follower.start()
        try:
            running, ended = self._wait(running)
        finally:
            follower.end(LAST_LINES)
        error = None if ended.phase == "complete" else self._cause(name, ended)
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

    def _wait(self, running: dict[str, Any]) -> tuple[dict[str, Any], State]:
        """Follows the job to its end; tells when its state changes."""
        name, shown = running["metadata"]["name"], ""
        while True:
            now = state(running)
            if now.phase in ("complete", "failed"):
                return running, now
            if now.text != shown:
                shown = now.text
                print(f"pretraining: TrainJob {name}: {shown}", flush=True)
            time.sleep(POLL)
            if self.told:
                self.cluster.delete(running, wait=False)  # its pods save their state; we may have no time
                what = "the launcher was told to stop, and the TrainJob with it"
                raise Interrupted(what, fix="run again to resume")
            found = self.cluster.get(name)
            if found is not None:  # this job, or the one that another launcher made after it
                running = found
            elif self.store.find(self.job.key) is not None:  # another launcher saw its end before us
                return running, State("complete", "AllJobsCompleted", "it was cleared away")
            else:
                raise Interrupted("somebody deleted the TrainJob", where=name, fix="run again to resume")

    def _cause(self, name: str, ended: State) -> TrunklineError:
        """The error that the pods left in the store; else what Kubernetes says."""
        keys = list(self.store.objects.keys(f"{self._prefix}errors/"))
        errors = [revived(json.loads(self.store.objects.read(key))) for key in keys]
        if ended.reason == "DeadlineExceeded":
            fix = "run again to resume, or raise pretraining.launch.hours"
            return Interrupted("the TrainJob's time is over", where=name, found=ended.text, fix=fix)
        if ended.reason == "TrainingRuntimeNotSupported":
            where = "pretraining.launch.runtime"
            return ConfigError("the runtime cannot be used", where=where, found=ended.text)
        if errors:
            return root_cause(errors)
        found = "; ".join(filter(None, (self._death(name), ended.text)))
        fix = "if memory ran out, lower pretraining.micro_batch or raise pretraining.launch.resources"
        return WorkerLost("the TrainJob failed without a word", where=name, found=found, fix=fix)

    def _death(self, name: str) -> str:
        """How the container of the first pod ended, if it is still to be seen."""
        pod = self.cluster.first_pod(name)
        for status in (pod.status.container_statuses if pod else None) or []:
            if status.state and status.state.terminated:
                ended = status.state.terminated
                return f"{ended.reason}, exit code {ended.exit_code}"
        return ""

    def _clear(self, part: str = "") -> None:
        for key in list(self.store.objects.keys(self._prefix + part)):
            self.store.objects.delete(key)

    @property
    def _prefix(self) -> str:
        return f"launches/{self.job.key.digest}/"

    @property
    def _place(self) -> str:
        return f"{self.store.uri}/{self._prefix}".rstrip("/")


def _gpus(options: Config) -> int:
    """Of a pod."""
    return next((int(n) for key, n in options.resources.items() if key.endswith("/gpu")), 0)


def _body(job: Job, options: Config, cluster: Cluster) -> dict[str, Any]:
    environment = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    if gpus := _gpus(options):
        environment[hardware.ACCELERATORS] = str(gpus)
    place = Place(
        namespace=cluster.namespace,
        runtime=options.runtime,
        runtime_kind=options.runtime_kind,
        image=options.image or os.environ.get("TRUNKLINE_IMAGE", ""),
        nodes=options.nodes,
        nproc=job.config["nproc"],
        resources=options.resources,
        queue=options.queue,
        deadline_seconds=int(options.hours * 3600),
        environment={**environment, **options.environment},
        secrets=options.secrets,
        pod=options.pod,
    )
    command = ["python", "-m", "components.pretraining.watchdog", f"{job.store}/launches/{job.key.digest}"]
    origin = {"trunkline.key": job.key.digest, "trunkline.run": str(job.run["run_id"])}
    return trainjob(f"trunkline-{job.key.digest[:20]}", command, place, origin)
