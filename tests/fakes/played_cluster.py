"""A whole cluster, played: runs go through their stages in seconds, and end as the recordings show.

No stage works: each notes in the store and in MLflow what it would have made. What ends a run is the
product's own: closing, and the exit record that promotion writes; Kubernetes asks the chart's Roles what they
may do. `faults` are names of what goes wrong, so that each row of an acceptance can be seen to fail.
"""

import contextlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.closing import run as closing
from components.closing.config import Config
from components.lib.core.errors import Interrupted, ServiceError, TrunklineError
from components.lib.storage import exit_record
from components.lib.storage.artifacts import Key
from components.lib.storage.stage import Context, read_records, write_record
from components.lib.storage.store import Store
from tests.acceptance import probe
from tests.acceptance.cluster import KILL, NODE, RUN, STAGE, WORKFLOW
from tests.fakes.kubeflow_server import Backend
from tests.fakes.kubernetes_api import KubernetesAPI
from tests.fakes.played_trainjob import PlayedTrainJob

STAGES = "preflight ingestion tokenization pretraining registration finetuning evaluation promotion".split()
TRACKED = ("pretraining", "finetuning", "evaluation")
# As KFP 2.17 ships it: pods that were deleted are made anew, those that failed are not.
DEFAULTS = "spec: {templateDefaults: {retryStrategy: {limit: '2', retryPolicy: OnError}}}"
PULL = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere.example/x:1"'}
UNPULLED: dict[str, Any] = {
    "phase": "Pending",
    "containerStatuses": [
        {
            "name": "main",
            "image": "x",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": PULL},
        }
    ],
}
PACE, LONG = 0.01, 30.0  # seconds of a stage, and of a training to which something is to happen


class Ended(Exception):
    """A step that did not end by itself: `killed`, `deleted` or `terminate`."""


@dataclass
class Run:
    """One run: what it was started with, and what has happened to it."""

    run_id: str
    overrides: dict[str, Any]
    context: Context
    name: str
    happened: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    tracked: dict[str, str] = field(default_factory=dict)


class PlayedCluster:
    """Plays every run that the server is told to start, each in a thread.

    Args:
        root: of the cluster's store.
        uri: of MLflow.
    """

    def __init__(self, backend: Backend, api: KubernetesAPI, root: Path, uri: str) -> None:
        self.backend, self.api, self.uri, self.faults = backend, api, uri, set[str]()
        self.runs: dict[str, Run] = {}
        self.threads: list[threading.Thread] = []
        self.jobs: list[PlayedTrainJob] = []
        backend.told, api.deleted, api.exec = self._told, self._deleted, self._exec
        backend.before, self.fired = self._schedule, set[str]()
        api.put("services", "ml-pipeline", {})
        api.put("serviceaccounts", "pipeline-runner", {})
        api.put("trainingruntimes", "trunkline-torch", {})
        api.put("secrets", "trunkline", {"data": {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}})
        values = {"TRUNKLINE_STORE": str(root), "MLFLOW_TRACKING_URI": uri}
        api.put("configmaps", "trunkline", {"data": values})
        api.put("configmaps", "workflow-controller-configmap", {"data": {"workflowDefaults": DEFAULTS}})
        api.put("configmaps", "pipeline-install-config", {"data": {"appVersion": "2.17.0"}})

    def _told(self, word: str, run_id: str) -> None:
        if word == "create":
            given = self.backend.runs[run_id]["runtime_config"]["parameters"]
            store = Store(given["store"])
            context = Context(store, self.uri, run_id, details={"preset": given["preset"]})
            self.runs[run_id] = Run(run_id, given["overrides"], context, f"training-{run_id[:5]}")
        if word == "terminate":
            self.runs[run_id].happened.append(word)
        else:
            thread = threading.Thread(target=self._play, args=(self.runs[run_id], word), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _schedule(self, method: str, path: str) -> None:
        """The time of every schedule comes when somebody looks for its runs."""
        for one in self.backend.enabled() if (method, path.rpartition("/")[2]) == ("GET", "runs") else ():
            if one["recurring_run_id"] not in self.fired:
                self.fired.add(one["recurring_run_id"])
                self._fire(one)

    def _fire(self, recurring: dict[str, Any]) -> None:
        """A run of the recurring run's version, or of the newest."""
        reference = recurring["pipeline_version_reference"]
        if "unpinned" in self.faults or "pipeline_version_id" not in reference:
            newest = max(self.backend.versions.values(), key=lambda one: one["created_at"])
            reference = {**reference, "pipeline_version_id": newest["pipeline_version_id"]}
        names = ("display_name", "runtime_config", "experiment_id", "service_account", "recurring_run_id")
        body = {name: recurring[name] for name in names if name in recurring}
        run_id = str(uuid.uuid4())
        more = {"state_history": [], "created_at": self.backend.stamp(), "storage_state": "AVAILABLE"}
        self.backend.runs[run_id] = {
            **body,
            **more,
            "run_id": run_id,
            "pipeline_version_reference": reference,
        }
        self._told("create", run_id)

    def _deleted(self, kind: str, name: str) -> None:
        if kind != "pods":
            return
        for run in self.runs.values():
            if name.startswith(f"{run.name}-"):
                run.happened.append("deleted")
        for job in self.jobs:
            job.lose(name)

    def _exec(self, pod: str, words: list[str]) -> tuple[str, int]:
        if words[2] == KILL:
            run = next(one for one in self.runs.values() if pod.startswith(f"{one.name}-"))
            run.happened.append("killed")
            return "17\n", 0
        env = self.api.objects["pods"][pod]["spec"]["containers"][0]["env"]
        code = next(one["value"] for one in env if one["name"] == "PROBE")
        module: dict[str, Any] = {"__name__": "probe"}
        exec(compile(code, "probe", "exec"), module)
        try:
            return json.dumps(module[words[3]](*json.loads(words[4]))), 0
        except TrunklineError as error:
            return str(error), error.exit_code

    def _play(self, run: Run, word: str) -> None:
        if word == "create":
            self.backend.moved(run.run_id, "PENDING")
            labels = {"labels": {RUN: run.run_id}}
            self.api.put("workflows", run.name, {"metadata": labels, "spec": {}, "status": {"nodes": {}}})
            self._track(run, "")
            self.backend.moved(run.run_id, "RUNNING")
        state = "SUCCEEDED"
        try:
            for stage in STAGES:
                alone = not run.overrides.get("tasks", True) and stage in ("finetuning", "evaluation")
                if stage not in run.done and not alone:
                    self._stage(run, stage)
            if "retry" not in self.faults or word != "retry":
                ledger = read_records(run.context)
                exit_record.write(run.context.store, run.run_id, ledger, exit_record.SUCCEEDED)
            self._ended(run, "", "FINISHED")
        except Ended:
            state = "FAILED"
        if word == "create":  # KFP 2.17 cannot run the exit handler again
            self._close(run, "FAILED" if state == "FAILED" and "terminate" not in run.happened else "RUNNING")
        self.backend.moved(run.run_id, state)

    def _close(self, run: Run, state: str) -> None:
        if "terminate" in run.happened:
            self.api.objects["workflows"][run.name]["spec"]["activeDeadlineSeconds"] = 0
        if "no closing" not in self.faults:
            closing.run(Config(run.context.store.uri, run.run_id, state))

    def _stage(self, run: Run, stage: str) -> None:
        task = "topics" if stage in ("finetuning", "evaluation") else ""
        context = Context(run.context.store, self.uri, run.run_id, stage, task, dict(run.context.details))
        start, error, pod = time.time(), None, self._pod(run, stage)
        if stage in TRACKED:
            self._track(run, stage)
        try:
            self._pulled(run, pod)
            self._train(run, pod) if stage == "pretraining" else time.sleep(PACE)
            self._output(run, context)
        except TrunklineError as raised:
            error, error.stage = raised, stage
        except Ended as how:
            return self._died(run, stage, pod, str(how))
        self._phase(pod, "Failed" if error else "Succeeded", error.exit_code if error else 0)
        if not (error is None and "open run" in self.faults):
            self._ended(run, stage, "FAILED" if error else "FINISHED")
        write_record(context, start, error)
        if error:
            raise Ended("failed")
        return run.done.add(stage)

    def _pulled(self, run: Run, pod: str) -> None:
        """As recorded: without its image a pod waits, and the run says RUNNING, until somebody ends it."""
        if "no image" in self.faults:
            self.api.objects["pods"][pod]["status"] = UNPULLED
            while not run.happened:
                time.sleep(PACE)
            raise Ended(run.happened[0])

    def _died(self, run: Run, stage: str, pod: str, how: str) -> None:
        """A step that was killed unheard; KFP makes one anew that was deleted, and its training goes on."""
        if how != "terminate":
            run.happened.remove(how)
            run.overrides = {**run.overrides, "pretraining.checkpoint_every": 0}
        if how == "deleted" and "not made anew" not in self.faults:
            return self._stage(run, stage)
        if how == "deleted":
            node = {"type": "Pod", "phase": "Error", "message": "pod deleted", "id": pod, "displayName": pod}
            path = f"{run.name}.run.{stage[:8]}.executor(0)"
            nodes = self.api.objects["workflows"][run.name]["status"]["nodes"]
            nodes[pod] = {**node, "name": path, "finishedAt": "2026-11-28T12:00:00Z"}
        self._phase(pod, "Failed", 0 if "no reason" in self.faults else 137 if how == "killed" else 143)
        raise Ended(how)

    def _output(self, run: Run, context: Context) -> None:
        seed = run.overrides["pretraining.seed"]
        key = Key(context.stage, 1, {"seed": seed, "task": context.task})
        with context.store.draft(key) as draft:
            draft.write("weights", f"trunk {seed}" + "!" * ("other bytes" in self.faults))
            facts = {"task": context.task, "metrics": {"accuracy": 0.5}, "primary": "accuracy", "metric": {}}
            draft.facts |= facts if context.stage == "evaluation" else {"tasks": {"topics": "promoted"}}
            context.record(draft.commit(), reused=False)
        if context.stage == "registration":
            with contextlib.suppress(OSError):  # it is there
                words = {"name": run.overrides["registration.name"]}
                probe.rest(self.uri, "registered-models/create", words)
        others = [one for one in self.runs.values() if one is not run and one.overrides == run.overrides]
        if "taken" in self.faults and others and context.stage == "pretraining":
            raise Interrupted("another run has taken the training")
        if "champion" in self.faults and context.stage == "promotion" and len(self.runs) > 1:
            raise ServiceError("the champion changed since the evaluation", fix="evaluate again")
        if context.stage == "promotion" and "no report" not in self.faults:
            context.store.objects.write(f"runs/{run.run_id}/report.html", b"a report")

    def _train(self, run: Run, pod: str) -> None:
        """Until something happens, where something is to happen."""
        end = time.monotonic() + (LONG if run.overrides.get("pretraining.checkpoint_every") else PACE)
        job = None
        if run.overrides.get("pretraining.launcher") == "trainjob":
            job = PlayedTrainJob(self.api, run.run_id, run.overrides["pretraining.launch"], self.faults)
            self.jobs.append(job)
        while time.monotonic() < end and not (job and job.complete(pod)):
            for how in run.happened:
                raise Ended(how)
            time.sleep(PACE)

    def _pod(self, run: Run, stage: str) -> str:
        name = f"{run.name}-system-container-impl-{uuid.uuid4().int % 10**9}"
        ours = {} if stage == "pretraining" else {STAGE: stage}  # either names the stage: label or path
        metadata = {"labels": {WORKFLOW: run.name, **ours}}
        metadata["annotations"] = {NODE: f"{run.name}.root.run.{stage[:8]}.executor(0)"}
        status = {"phase": "Running", "containerStatuses": []}
        spec = {"containers": [{"name": "main"}]}
        self.api.put("pods", name, {"metadata": metadata, "spec": spec, "status": status})
        return name

    def _phase(self, pod: str, phase: str, code: int) -> None:
        if pod in self.api.objects["pods"]:
            ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
            container = {"name": "main", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
            body = {"phase": phase, "containerStatuses": [{**container, "state": {"terminated": ended}}]}
            self.api.objects["pods"][pod]["status"] = body

    def _track(self, run: Run, stage: str) -> None:
        """Starts the run of a stage in MLflow, or resumes it."""
        if stage in run.tracked:
            return self._ended(run, stage, "RUNNING")
        tags = {
            probe.TAGS[0]: run.run_id,
            "trunkline.run": run.run_id,
            "trunkline.stage": stage,
            "mlflow.parentRunId": run.tracked.get("", ""),
        }
        listed = [{"key": key, "value": value} for key, value in tags.items() if value]
        body = {"experiment_id": "0", "run_name": stage or run.name, "start_time": 1, "tags": listed}
        run.tracked[stage] = probe.rest(self.uri, "runs/create", body)["run"]["info"]["run_id"]
        return None

    def _ended(self, run: Run, stage: str, status: str) -> None:
        if stage in run.tracked:
            words = {"run_id": run.tracked[stage], "status": status, "end_time": 2}
            probe.rest(self.uri, "runs/update", words)
