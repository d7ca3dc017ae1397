"""TrainJob launcher: training on a cluster by Kubeflow Trainer; creates or adopts a job, and follows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from components.lib.core import hardware, signals
from components.lib.core.errors import ConfigError
from components.lib.core.settings import from_dict, setting
from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.manifest import Place, requirements, trainjob
from components.lib.storage.store import Store
from components.pretraining.config import Config as Settings
from components.pretraining.follower import TrainJobFollower, name_of
from components.pretraining.job import Job

PASSED_ON = (  # variables of this step that the pods get as well; no secrets
    "MLFLOW_EXPERIMENT_ID MLFLOW_RUN_ID MLFLOW_TRACKING_AUTH MLFLOW_TRACKING_URI MLFLOW_WORKSPACE "
    "TRUNKLINE_COMMIT"
).split()
KINDS = ("TrainingRuntime", "ClusterTrainingRuntime")


@dataclass(frozen=True)
class Config:
    """The TrainJob; processes a node are `pretraining.nproc`."""

    nodes: int = setting(1, "pods", minimum=1, maximum=65536)
    resources: dict[str, Any] = setting(
        {},
        "of a pod, such as {cpu: 8, memory: 64Gi, nvidia.com/gpu: 8}: all is requested, all but cpu a limit "
        "too; or {requests: {...}, limits: {...}}, as Kubernetes writes it",
    )
    image: str = setting("", "of the pods; empty: that of this step, else the runtime's")
    runtime: str = setting("trunkline-torch", "the TrainingRuntime, as the chart installs it")
    runtime_kind: str = setting("TrainingRuntime", "its kind", choices=KINDS)
    queue: str = setting("", "Kueue's LocalQueue, in which the job waits for its turn")
    hours: float = setting(0.0, "after which the job is ended; 0 = never", minimum=0.0)
    patience: float = setting(
        10.0, "minutes that a person has to mend what keeps pods from starting (image, secret)", minimum=0.0
    )
    orphan_minutes: float = setting(
        30.0, "after which pods that nobody follows save a checkpoint and end; 0 = never", minimum=0.0
    )
    environment: dict[str, str] = setting({}, "variables of the pods; never a secret")
    secrets: dict[str, tuple[str, ...]] = setting({}, "Secret -> its keys that become variables")
    pod: dict[str, Any] = setting({}, "patches of the pods' spec: nodeSelector, tolerations, volumes, ...")

    def check(self) -> Iterator[ConfigError]:
        """What Trainer or Kubernetes would refuse, or worse: take."""
        yield from self._check_resources()
        for name in (*self.environment, *(key for keys in self.secrets.values() for key in keys)):
            if name.startswith("PET_"):
                what, fix = (
                    "the variables of rendezvous are Trainer's own",
                    "nodes and pretraining.nproc say it",
                )
                yield ConfigError(what, where="pretraining.launch.environment", found=name, fix=fix)

    def _check_resources(self) -> Iterator[ConfigError]:
        """Kubernetes would tell of these only when it makes the pods."""
        where, sides = "pretraining.launch.resources", {"requests", "limits"}
        if not self.resources.keys() & sides:
            return
        given = [self.resources.get(side) or {} for side in ("requests", "limits")]
        if self.resources.keys() - sides or not all(isinstance(one, dict) for one in given):
            expected = "{requests: {...}, limits: {...}}, or names of resources alone"
            yield ConfigError("requests and limits stand by themselves", where=where, expected=expected)
            return
        for name, value in given[0].items():
            if ("/" in name or name.startswith("hugepages-")) and str(given[1].get(name)) != str(value):
                what, fix = "such a resource is a limit, or both and equal", "name it under limits"
                yield ConfigError(what, where=f"{where}.requests", found=f"{name}: {value}", fix=fix)


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
    cluster = Cluster()
    given = {**settings.launch, "orphan_minutes": options.orphan_minutes}
    job = replace(job, config={**job.config, "nproc": settings.nproc or _gpus(options) or 1, "launch": given})
    with signals.noted() as told:
        body = _body(job, options, cluster)
        TrainJobFollower(job, store, cluster, told, options.patience).until_done(body, settings.restarts)


def _gpus(options: Config) -> int:
    """Of a pod."""
    limits = requirements(options.resources).get("limits", {})
    return next((int(n) for key, n in limits.items() if key.endswith("/gpu")), 0)


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
    origin["trunkline.orphan-minutes"] = f"{options.orphan_minutes:g}"
    return trainjob(name_of(job), command, place, origin)
