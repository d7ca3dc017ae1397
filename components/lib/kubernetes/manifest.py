"""A TrainJob as a plain object (trainer.kubeflow.org/v1alpha1, as Trainer 2.2 and 2.3 take it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
MANAGER = "trunkline.kubeflow.org/launcher"


@dataclass(frozen=True)
class Place:
    """Where and with what the pods run.

    Attributes:
        resources: of a pod: {"requests": {...}, "limits": {...}}, or one flat mapping (see `requirements`).
        secrets: Secret -> its keys that become variables.
        pod: patches of the pods' spec (node selector, tolerations, volumes, ...), in Kubernetes' words.
    """

    namespace: str
    runtime: str
    runtime_kind: str
    image: str
    nodes: int
    nproc: int
    resources: Mapping[str, Any]
    queue: str
    deadline_seconds: int
    environment: Mapping[str, str]
    secrets: Mapping[str, tuple[str, ...]]
    pod: Mapping[str, Any]


def trainjob(name: str, command: list[str], place: Place, annotations: Mapping[str, str]) -> dict[str, Any]:
    """The object to create. What is empty is left to the runtime.

    Variables of rendezvous (PET_...) are Trainer's own: it refuses a TrainJob that sets them.
    """
    labels = {"app.kubernetes.io/name": "trunkline", "app.kubernetes.io/component": "pretraining"}
    if place.queue:
        labels[QUEUE_LABEL] = place.queue
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": GROUP, "kind": place.runtime_kind, "name": place.runtime},
        "trainer": _trainer(command, place),
        # Kueue starts what it admits; without a queue, Trainer starts it at once.
        "suspend": bool(place.queue),
    }
    if place.deadline_seconds:
        spec["activeDeadlineSeconds"] = place.deadline_seconds
    if place.pod:  # in the shape that replaced `podTemplateOverrides` in Trainer 2.2
        job = {"name": "node", "template": {"spec": {"template": {"spec": dict(place.pod)}}}}
        patch = {"template": {"spec": {"replicatedJobs": [job]}}}
        spec["runtimePatches"] = [{"manager": MANAGER, "trainingRuntimeSpec": patch}]
    metadata = {"name": name, "namespace": place.namespace, "labels": labels, "annotations": {**annotations}}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _trainer(command: list[str], place: Place) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [
        {"name": key, "value": value} for key, value in sorted(place.environment.items())
    ]
    for secret, keys in sorted(place.secrets.items()):
        for key in keys:
            variables.append({"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    trainer: dict[str, Any] = {"command": command, "numNodes": place.nodes, "numProcPerNode": place.nproc}
    if place.image:
        trainer["image"] = place.image
    if variables:
        trainer["env"] = variables
    if place.resources:
        trainer["resourcesPerNode"] = requirements(place.resources)
    return trainer


def requirements(resources: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Requests and limits of a container, as Kubernetes tells them apart.

    Of one flat mapping, everything is requested, and everything but `cpu` is a limit too: a limit of
    processors slows the training down where the node has more to give. Kubernetes takes extended resources
    and huge pages as limits alone, or as both if they are equal.
    """
    if resources.keys() & {"requests", "limits"}:
        return {side: _quantities(resources[side]) for side in ("requests", "limits") if resources.get(side)}
    both = {"requests": _quantities(resources)}
    limits = {key: value for key, value in both["requests"].items() if key != "cpu"}
    return {**both, "limits": limits} if limits else both


def _quantities(resources: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in sorted(resources.items())}


@dataclass(frozen=True)
class State:
    """What a TrainJob's status says.

    Attributes:
        phase: created, suspended, running, complete or failed.
        reason: of the condition that says so.
        text: for a person.
    """

    phase: str
    reason: str
    text: str


def state(body: Mapping[str, Any]) -> State:
    """The state of a TrainJob; there is no condition for 'running': that is read from the counts of pods."""
    status = body.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or [] if one["status"] == "True"}
    for kind in ("Failed", "Complete"):
        if kind in conditions:
            reason, message = (conditions[kind].get(name, "") for name in ("reason", "message"))
            return State(kind.lower(), reason, message or reason)
    jobs = {entry["name"]: entry for entry in status.get("jobsStatus") or []}
    node = jobs.get("node", {})
    ready, active = node.get("ready") or 0, node.get("active") or 0
    if ready or active:
        return State("running", "", "its pods run" if ready else "its pods are made")
    if "Suspended" in conditions or node.get("suspended"):
        return State("suspended", "", "it waits for its turn in the queue")
    return State("created", "", "it waits for its pods")
