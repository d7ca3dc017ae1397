"""Pod status and events in Kubernetes' own words: what a pod waits for, what ended it, who must mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# Why a container does not start, as the kubelet says it, that lasts until somebody mends it.
MENDED = frozenset(
    "ErrImagePull ImagePullBackOff InvalidImageName ErrImageNeverPull ImageInspectError RegistryUnavailable "
    "SignatureValidationFailed CreateContainerConfigError CreateContainerError RunContainerError StartError "
    "ContainerCannotRun".split()
)
# Events that say the same, while they are the last that was heard of a pod that does not run, or of its Job.
MENDED_EVENTS = frozenset("FailedMount FailedAttachVolume FailedCreatePodSandBox FailedCreate".split())
PLACE = ("Unschedulable", "SchedulingGated", "exceeded quota")  # these wait for a place
PASSING = (None, "ContainerCreating", "PodInitializing")  # reasons that say nothing


@dataclass(frozen=True)
class PodState:
    """What a pod's status says.

    Attributes:
        index: of the pod in its job.
        attempt: how often JobSet had made all pods anew before this one.
        reason: empty while nothing is to be told but the phase.
        code: exit code of its container, None while it has not ended.
        memory: its limit of memory, empty if it has none.
    """

    name: str
    index: str
    attempt: str
    phase: str
    reason: str
    message: str
    code: int | None
    memory: str

    @property
    def text(self) -> str:
        """One line for a person."""
        parts = [self.reason or self.phase, self.message]
        if self.code is not None:
            parts.append(f"exit code {self.code}")
        if self.reason == "OOMKilled" and self.memory:
            parts.append(f"limit {self.memory}")
        return ": ".join(filter(None, parts))

    @property
    def stuck(self) -> bool:
        """Whether it will not start before somebody mends something."""
        return self.reason in MENDED

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process of it at its limit."""
        return self.reason == "OOMKilled"


def read(pod: Mapping[str, Any]) -> PodState:
    """The state of a pod as the API gives it, plain JSON."""
    meta, status = pod["metadata"], pod.get("status") or {}
    labels = meta.get("labels") or {}
    reason, message, code = _said(status)
    if meta.get("deletionTimestamp") and not reason:
        reason = "Terminating"  # as kubectl calls it
    containers = (pod.get("spec") or {}).get("containers") or []
    limits = [((one.get("resources") or {}).get("limits") or {}).get("memory", "") for one in containers]
    return PodState(
        name=meta["name"],
        index=labels.get("batch.kubernetes.io/job-completion-index", ""),
        attempt=labels.get("jobset.sigs.k8s.io/restart-attempt", "0"),
        phase=status.get("phase") or "Unknown",
        reason=reason,
        message=message.strip(),
        code=code,
        memory=next(filter(None, limits), ""),
    )


def _said(status: Mapping[str, Any]) -> tuple[str, str, int | None]:
    """Reason, message and exit code: of the pod, a container, or a condition, the first that speaks."""
    code, found = None, []
    for container in _containers(status):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended and (ended.get("exitCode") or ended.get("reason") != "Completed"):
            code = ended.get("exitCode") if code is None else code
            found.append((ended.get("reason") or "Error", ended.get("message") or ""))
        if waiting and waiting.get("reason") not in PASSING:
            found.append((waiting["reason"], waiting.get("message") or ""))
    if status.get("reason"):  # Evicted, NodeLost
        found.insert(0, (status["reason"], status.get("message") or ""))
    for condition in status.get("conditions") or []:
        kind, reason = condition["type"], condition.get("reason")
        lost, unplaced = kind == "DisruptionTarget", kind == "PodScheduled"
        if reason and condition["status"] == ("True" if lost else "False") and (lost or unplaced):
            found.append((reason, condition.get("message") or ""))
    return (*found[0], code) if found else ("", "", code)


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(kind) or []


@dataclass(frozen=True)
class Happening:
    """An event of Kubernetes.

    Attributes:
        about: kind and name of the object.
        last: when it was seen last, in seconds since 1970; 0 if it does not say.
    """

    about: tuple[str, str]
    kind: str
    reason: str
    message: str
    last: float

    @property
    def text(self) -> str:
        """One line for a person."""
        return f"{self.reason}: {self.message}"

    @property
    def stuck(self) -> bool:
        """Whether it tells of what somebody must mend; a quota is a place that is waited for."""
        return self.reason in MENDED_EVENTS and not any(word in self.message for word in PLACE)


def read_event(event: Mapping[str, Any]) -> Happening:
    """An event as the API gives it, plain JSON."""
    about, meta = event.get("involvedObject") or {}, event.get("metadata") or {}
    series = (event.get("series") or {}).get("lastObservedTime")
    times = (series, event.get("lastTimestamp"), event.get("eventTime"), meta.get("creationTimestamp"))
    return Happening(
        about=(about.get("kind", ""), about.get("name", "")),
        kind=event.get("type") or "",
        reason=event.get("reason") or "",
        message=(event.get("message") or "").strip(),
        last=next((moment(one) for one in times if one), 0.0),
    )


def moment(text: str) -> float:
    """Seconds since 1970 of a time as Kubernetes writes it."""
    return datetime.fromisoformat(text).timestamp()
