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


def first(
    workflow: Mapping[str, Any] | None, pods: Sequence[Mapping[str, Any]], ended: set[str]
) -> Death | None:
    """The death that explains a failure: the earliest, of a stage that has not ended since.

    Args:
        workflow: of the run, which remembers pods that are gone.
        pods: of the run, oldest first.
        ended: stages that noted their end.
    """
    found = [*_of_pods(pods), *_of_nodes(workflow or {}, {pod["metadata"]["name"] for pod in pods})]
    for death in found:
        death.error.stage = death.stage
    return next((death for death in found if death.stage not in ended), None)


def _of_pods(pods: Sequence[Mapping[str, Any]]) -> Iterator[Death]:
    for pod in pods:
        labels, notes = (pod["metadata"].get(name) or {} for name in ("labels", "annotations"))
        stage = labels.get(STAGE) or _stage(notes.get(NODE, ""))
        error = _error(pod, stage)
        if error is not None and stage != STAGES[-1]:
            yield Death(stage, error)


def _error(pod: Mapping[str, Any], stage: str) -> TrunklineError | None:
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    if status.get("phase") == "Failed" and status.get("reason"):  # of all of it: Evicted, NodeLost, ...
        what = f"Kubernetes ended a step: {status['reason']}"
        return WorkerLost(what, where=name, found=status.get("message", ""), fix=AGAIN)
    kinds = ("initContainerStatuses", "containerStatuses")
    for container in (one for kind in kinds for one in status.get(kind) or []):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        found = f"{waiting.get('reason')}: {waiting.get('message', '')}"
        if waiting.get("reason") in IMAGE:
            what, fix = "the image of a step cannot be pulled", "push it, or correct `images` of the cluster"
            return ConfigError(what, where=name, found=found, fix=fix)
        if waiting.get("reason") in UNMADE:
            what, fix = "the container of a step cannot be made", "mend what Kubernetes names"
            return ConfigError(what, where=name, found=found, fix=fix)
        if ended.get("reason") == "OOMKilled":
            return _out_of_memory(pod, container["name"], stage)
        if ended.get("exitCode") and container["name"] != "wait":  # Argo's own, which follows the others
            return _exited(pod, container["name"], ended)
    if pod["metadata"].get("deletionTimestamp"):
        return WorkerLost("somebody deleted the pod of a step", where=name, fix=AGAIN)
    return None


def _limit(pod: Mapping[str, Any], container: str) -> str:
    made: Mapping[str, Any] = next((one for one in pod["spec"]["containers"] if one["name"] == container), {})
    return str(((made.get("resources") or {}).get("limits") or {}).get("memory", "that of the node"))


def _out_of_memory(pod: Mapping[str, Any], container: str, stage: str) -> TrunklineError:
    found = f"its limit is {_limit(pod, container)}"
    fix = f"raise stages.{stage or 'STAGE'}.memory of the cluster, or lower what it holds at once"
    what, where = "a step ran out of memory: OOMKilled", pod["metadata"]["name"]
    return WorkerLost(what, where=where, found=found, fix=fix)


def _exited(pod: Mapping[str, Any], container: str, ended: Mapping[str, Any]) -> TrunklineError:
    code, said, name = ended["exitCode"], (ended.get("message") or "").strip(), pod["metadata"]["name"]
    # The kernel may end one process of it for memory, of which Kubernetes then knows nothing.
    limit = f"its limit of memory is {_limit(pod, container)}"
    if code in SIGNALS:
        found, fix = " ".join(filter(None, (f"exit code {code}", said))), AGAIN
        if code == 137:
            found, fix = (
                f"{found}; {limit}",
                f"if nobody killed it, raise that in the cluster's file; {AGAIN}",
            )
        return WorkerLost(f"a step was killed: {SIGNALS[code]}", where=name, found=found, fix=fix)
    what = f"a step ended with exit code {code} and left no word: its process was killed, or never began"
    found = "; ".join(filter(None, (said or ended.get("reason", ""), limit)))
    return InternalError(what, where=name, found=found, fix="look at its log")


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
    for part in reversed(node.split(".")[1:]):  # without the pipeline's own name, which may be a stage's
        if found := [stage for stage in STAGES if part.startswith(stage[:4])]:  # ingest-driver, ingestion
            return found[0]
    return ""
