"""How a step of a run died, from its pods and Workflow: out of memory, evicted, deleted, image not pulled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components import STAGES
from components.lib.core.errors import ConfigError, InternalError, TrunklineError, WorkerLost

STAGE = "app.kubernetes.io/component"  # our label of a step's pod
NODE = "workflows.argoproj.io/node-name"  # Argo's annotation: the path of a task in its graph
IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
UNMADE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
AGAIN = "run it again, or press Retry: what was finished is found in the store"
SIGNALS = {137: "SIGKILL", 143: "SIGTERM"}


@dataclass(frozen=True)
class Death:
    """The end of one step."""

    stage: str
    error: TrunklineError


def first(workflow: Mapping[str, Any] | None, pods: Sequence[Any], ended: set[str]) -> Death | None:
    """The death that explains a failure: the earliest, of a stage that has not ended well since.

    Args:
        workflow: of the run, which remembers pods that are gone.
        pods: of the run, oldest first.
        ended: stages that noted their end.
    """
    found = [*_of_pods(pods), *_of_nodes(workflow or {}, {pod.metadata.name for pod in pods})]
    for death in found:
        death.error.stage = death.stage
    unexplained = [death for death in found if death.stage not in ended]
    return next(iter(unexplained), None)


def _of_pods(pods: Sequence[Any]) -> Iterator[Death]:
    for pod in pods:
        stage = (pod.metadata.labels or {}).get(STAGE) or _stage(
            (pod.metadata.annotations or {}).get(NODE, "")
        )
        error = _error(pod, stage)
        if error is not None and stage != STAGES[-1]:
            yield Death(stage, error)


def _error(pod: Any, stage: str) -> TrunklineError | None:
    status, name = pod.status, pod.metadata.name
    if status.phase == "Failed" and status.reason:  # the whole pod: Evicted, NodeLost, Preempting, ...
        what = f"Kubernetes ended a step: {status.reason}"
        return WorkerLost(what, where=name, found=status.message or "", fix=AGAIN)
    for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        waiting, ended = container.state.waiting, container.state.terminated
        if waiting and waiting.reason in IMAGE:
            what, fix = "the image of a step cannot be pulled", "push it, or correct `images` of the cluster"
            return ConfigError(what, where=name, found=f"{waiting.reason}: {waiting.message}", fix=fix)
        if waiting and waiting.reason in UNMADE:
            what, fix = "the container of a step cannot be made", "mend what Kubernetes names"
            return ConfigError(what, where=name, found=f"{waiting.reason}: {waiting.message}", fix=fix)
        if ended and ended.reason == "OOMKilled":
            return _out_of_memory(pod, container.name, stage)
        if ended and ended.exit_code and container.name != "wait":  # Argo's own, which follows the others
            return _exited(name, ended)
    if pod.metadata.deletion_timestamp:
        return WorkerLost("somebody deleted the pod of a step", where=name, fix=AGAIN)
    return None


def _out_of_memory(pod: Any, container: str, stage: str) -> TrunklineError:
    made = next(one for one in pod.spec.containers if one.name == container)
    limit = ((made.resources and made.resources.limits) or {}).get("memory", "none of its own: the node's")
    what, found = "a step ran out of memory: OOMKilled", f"its limit is {limit}"
    fix = f"raise stages.{stage or 'STAGE'}.memory of the cluster, or lower what it holds at once"
    return WorkerLost(what, where=pod.metadata.name, found=found, fix=fix)


def _exited(pod: str, ended: Any) -> TrunklineError:
    code, said = ended.exit_code, (ended.message or "").strip()
    if code in SIGNALS:
        found = " ".join(filter(None, (f"exit code {code}", said)))
        return WorkerLost(f"a step was killed: {SIGNALS[code]}", where=pod, found=found, fix=AGAIN)
    what, fix = f"a step ended with exit code {code} and left no word", "look at its log"
    return InternalError(what, where=pod, found=said or ended.reason or "", fix=fix)


def _of_nodes(workflow: Mapping[str, Any], there: set[str]) -> Iterator[Death]:
    """Steps whose pods are gone, as the Workflow tells of them."""
    nodes = ((workflow.get("status") or {}).get("nodes") or {}).values()
    failed = (
        node for node in nodes if node.get("type") == "Pod" and node.get("phase") in ("Error", "Failed")
    )
    for node in sorted(failed, key=lambda node: str(node.get("finishedAt"))):
        stage, name = _stage(node.get("name", "")), node.get("displayName", node.get("id", ""))
        if stage in ("", STAGES[-1]) or node.get("id") in there or name in there:
            continue
        what = "the pod of a step was deleted, or its node was lost"
        yield Death(stage, WorkerLost(what, where=node["name"], found=node.get("message", ""), fix=AGAIN))


def _stage(node: str) -> str:
    """The stage of a node, whose path names the component: `training-x.run.pretrain.executor(0)`."""
    for part in reversed(node.split(".")):
        if found := [stage for stage in STAGES if part.startswith(stage[:4])]:  # ingest-driver, ingestion
            return found[0]
    return ""
