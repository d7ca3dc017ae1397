"""What Kubernetes knows of a pipeline run: its Argo Workflow, its pods, and TrainJobs that we made."""

from __future__ import annotations

import json
from typing import Any

from components.lib.kubernetes.api import Cluster

RUN = "pipeline/runid"  # KFP's label of a Workflow
WORKFLOW = "workflows.argoproj.io/workflow"  # Argo's label of a pod


class RunCluster(Cluster):
    """A cluster that is asked about a run; whoever asks needs rights on workflows, pods and TrainJobs."""

    def workflow(self, run_id: str) -> dict[str, Any] | None:
        """The Workflow of a run, None if it is gone, or was never there."""
        place = {"group": "argoproj.io", "version": "v1alpha1", "plural": "workflows"}
        call = self._custom.list_namespaced_custom_object
        found = self._asked(call, none=(404,), label_selector=f"{RUN}={run_id}", **place)
        return next(iter(found["items"]), None) if found else None

    def pods(self, workflow: str) -> list[dict[str, Any]]:
        """The pods of a Workflow that are still there, oldest first, as Kubernetes writes them."""
        call, selector = self._core.list_namespaced_pod, f"{WORKFLOW}={workflow}"
        answer = self._asked(call, label_selector=selector, _preload_content=False)
        found = json.loads(answer.data)["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))


def terminated(workflow: dict[str, Any] | None) -> bool:
    """Whether somebody terminated the run: KFP does so by a deadline of no seconds."""
    return workflow is not None and (workflow.get("spec") or {}).get("activeDeadlineSeconds") == 0
