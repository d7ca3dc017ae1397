"""Steps of a run that wait for their pod: Kubeflow says RUNNING for ever; which, and how to see why."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

PATIENCE = 180.0  # seconds after which a step that waits for its pod is named
_COPY = re.compile(r"\(\d+(:\d+)?\)$")  # an attempt, or an iteration


class Waiting:
    """Names each step once; the states are those of the tasks of a run, as Kubeflow's server tells them.

    A step is a task of the graph and below it the task of its pod, `executor` or `<step>-driver`, which is
    PENDING while there is no container.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace or "kubeflow"
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def tell(self, run: Any) -> None:
        """Says on stderr which steps have waited for too long by now."""
        tasks = list(getattr(run.run_details, "task_details", None) or [])
        pending = {str(task.task_id): task for task in tasks if task.state == "PENDING"}
        now = time.monotonic()
        self._since = {name: self._since.get(name, now) for name in pending}
        for name, since in self._since.items():
            step = _step(pending[name], tasks)
            if now - since >= PATIENCE and step not in self._told:
                self._told.add(step)
                print(self._sentence(step, tasks), file=sys.stderr, flush=True)

    def _sentence(self, step: str, tasks: list[Any]) -> str:
        nodes = [str(child.pod_name) for task in tasks for child in task.child_tasks or ()]
        workflow = nodes[0].rpartition("-")[0] if nodes else ""  # a node is named <workflow>-<number>
        which = f"--namespace {self._namespace} --selector workflows.argoproj.io/workflow={workflow}"
        pods = f"kubectl get pods {which} --field-selector status.phase=Pending --output name"
        why = f"kubectl describe --namespace {self._namespace} $({pods})"
        return f"{step} has waited for its pod for more than {PATIENCE / 60:.0f} minutes; why: {why}"


def _step(task: Any, tasks: list[Any]) -> str:
    """The name of the step that a task is the pod of."""
    name = _name(task)
    if name.endswith("-driver"):
        return f"{name.removesuffix('-driver')} (its driver)"
    if name != "executor":
        return name
    began = {_name(one) for one in tasks if one.state == "RUNNING" and one.start_time == task.start_time}
    return " or ".join(sorted(one for one in began if one != "executor")) or "a step"


def _name(task: Any) -> str:
    return _COPY.sub("", str(task.display_name))
