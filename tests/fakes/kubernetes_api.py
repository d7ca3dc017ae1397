"""A Kubernetes API over HTTP with Kubeflow Trainer behind it: pods are processes of this machine.

Objects are checked against Trainer's published models (kubeflow-trainer-api 2.3.0): whatever they would drop
or refuse is refused. Its webhook's rule on PET_ variables, and its names, are kept as well. Who asks may do
what the chart's Roles let the account of a pipeline's step do, and nothing else; who has the token `admin`
may do all. Restarts by JobSet are left out (a pod that fails fails its TrainJob), but in TrainJobs that are
played from a recording. Whatever else Kubernetes keeps are plain objects.
"""

import contextlib
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from tests.fakes import http_server
from tests.fakes import kubernetes_objects as objects
from tests.fakes import kubernetes_rights as rights
from tests.fakes.kubernetes_pod import Pod, precise, stamp
from tests.fakes.mlflow_server import free_port
from tests.fakes.recorded_trainjob import RecordedTrainJob


class KubernetesAPI:
    """The state of one namespace, called `team`.

    Attributes:
        program: what pods run instead of the image's entry point, before the last word of the command.
        pending: seconds before pods run.
        status: of pods that are plain objects, when they are made.
        cuts: of log streams, that many break off after a line each; `cut` have.
        ills: answers of 503 still to give; `ill` were given.
        made: bodies of all TrainJobs ever made.
        rules: what the account may do.
        acts: what it has done.
        recorded: cases of recordings that the next TrainJobs are played from, in place of processes.
        objects: kind -> name -> body, of what is not a TrainJob or one of its pods.
        logs: of pods that are plain objects.
        deleted: called with kind and name of what somebody deletes.
        exec: called with the name of a pod and words to run there; returns output and exit code.
    """

    def __init__(self) -> None:
        self.program = [sys.executable, "-m", "components.pretraining.watchdog"]
        self.pending, self.cuts, self.ills, self.status = 0.0, 0, 0, {"phase": "Running"}
        self.cut = self.ill = 0
        self.made: list[dict] = []
        self.rules = rights.rules("pipeline-runner")
        self.acts = set[rights.Act]()
        self.jobs: dict[str, dict] = {}
        self.pods: dict[str, list[Pod]] = {}
        self.lock, self.closed = threading.RLock(), False
        self.recorded = list[str]()
        self.played: dict[str, RecordedTrainJob] = {}
        self.objects: dict[str, dict[str, dict]] = {}
        self.logs: dict[str, list[str]] = {}
        self.deleted: Callable[[str, str], None] = lambda kind, name: None
        self.exec: objects.Exec = lambda pod, words: ("", 127)

    def create(self, body: dict) -> tuple[int, dict]:
        name = body["metadata"]["name"]
        try:
            kept = TrainerV1alpha1TrainJob.from_dict(json.loads(json.dumps(body))).to_dict()
        except ValueError as error:
            return 422, {"message": str(error)}
        if kept != body or not re.fullmatch("[a-z]([-a-z0-9]{,61}[a-z0-9])?", name):
            return 422, {"message": f"unknown fields, or a wrong name: {body}"}
        if any(entry["name"].startswith("PET_") for entry in body["spec"]["trainer"].get("env", [])):
            return 422, {"message": "PET_ variables are reserved"}
        if name in self.jobs:
            return 409, {"message": "AlreadyExists"}
        body["metadata"] |= {"uid": uuid.uuid4().hex, "creationTimestamp": stamp(time.time())}
        self.jobs[name] = body
        self.made.append(body)
        if self.recorded:
            self.played[name] = RecordedTrainJob(self.recorded.pop(0), name)
        return 201, body

    def put(self, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Makes a plain object, or another of its name; a pod runs at once."""
        metadata = {"namespace": "team", "creationTimestamp": stamp(time.time()), "uid": uuid.uuid4().hex}
        given = body.get("metadata") or {}
        body = {**body, "metadata": {**metadata, **given, "name": name}}
        body |= {"status": self.status} if kind == "pods" and "status" not in body else {}
        self.objects.setdefault(kind, {})[name] = body
        return body

    def items(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        kept = list(self.objects.get(kind, {}).values())
        if kind == "trainjobs":
            found = [self.get(name) for name in list(self.jobs)]
            return [job for status, job in found if status == 200]
        if kind == "pods":
            running = [pod.body() for pods in self.pods.values() for pod in pods]
            return kept + running + [pod for played in self.played.values() for pod in played.pods()]
        if kind == "events":
            return kept + [event for played in self.played.values() for event in played.events()]
        return kept

    def watched(self, kind: str) -> list[dict[str, Any]] | None:
        """All objects of a kind; None when the server is closed."""
        with self.lock:
            return None if self.closed else self.items(kind)

    def remove(self, kind: str, name: str, options: dict) -> tuple[int, dict]:
        """Deletes an object; a pod of a TrainJob that is a process is killed."""
        if kind == "trainjobs":
            answer = self.delete(name, options)
        else:
            found = self.objects.get(kind, {}).pop(name, None)
            process = next((pod for pods in self.pods.values() for pod in pods if pod.name == name), None)
            if process:
                process.process.kill()
            answer = (
                (200, {})
                if found or process or name in [item["metadata"]["name"] for item in self.items(kind)]
                else (404, {})
            )
        self.deleted(kind, name)
        return answer

    def admit(self, name: str) -> None:
        """What Kueue does when there is room."""
        self.jobs[name]["spec"]["suspend"] = False

    def get(self, name: str) -> tuple[int, dict]:
        if job := self.jobs.get(name):
            self._reconcile(name, job)
        return (200, job) if name in self.jobs else (404, {"message": "NotFound"})

    def delete(self, name: str, options: dict) -> tuple[int, dict]:
        if name not in self.jobs:
            return 404, {"message": "NotFound"}
        uid = self.jobs[name]["metadata"]["uid"]
        if options.get("preconditions", {}).get("uid", uid) != uid:
            return 409, {"message": "Conflict"}
        self.jobs[name]["metadata"]["deletionTimestamp"] = stamp(time.time())
        self.played.pop(name, None)
        self._end(name)
        return 200, {}

    def _end(self, name: str) -> None:
        for pod in self.pods.get(name, []):
            if pod.process.poll() is None:
                pod.process.terminate()

    def _reconcile(self, name: str, job: dict) -> None:
        phases = [pod.phase() for pod in self.pods.get(name, [])]
        if "deletionTimestamp" in job["metadata"]:
            if "Running" not in phases:
                del self.jobs[name]
                self.pods.pop(name, None)
            return
        if job["spec"].get("suspend"):
            job["status"] = {"conditions": [condition("Suspended", "Suspended")]}
            return
        if played := self.played.get(name):
            job["status"] = played.look()
            return
        begin = float(job["metadata"].setdefault("annotations", {}).setdefault("begin", str(time.time())))
        if not phases and time.time() - begin >= self.pending:
            port, nodes = free_port(), job["spec"]["trainer"]["numNodes"]
            self.pods[name] = [Pod(job, index, self.program, port) for index in range(nodes)]
            phases = ["Running"] * nodes
        done, failed = {*phases} == {"Succeeded"}, "Failed" in phases
        late = time.time() - begin > job["spec"].get("activeDeadlineSeconds", float("inf"))
        # Of Jobs, of which there is one, whatever the number of its pods
        counts = {
            "active": "Running" in phases,
            "ready": {*phases} == {"Running"},
            "failed": failed,
            "succeeded": done,
        }
        status = {"name": "node", "suspended": 0, **{kind: int(count) for kind, count in counts.items()}}
        job["status"] = {"jobsStatus": [status]}
        if failed or late:
            self._end(name)
            reason, message = ("FailedJobs", "jobset failed") if failed else ("DeadlineExceeded", "too late")
            job["status"]["conditions"] = [condition("Failed", reason, message)]
        elif done:
            job["status"]["conditions"] = [
                condition("Complete", "AllJobsCompleted", "jobset completed successfully")
            ]


def condition(kind: str, reason: str, message: str = "") -> dict:
    when = stamp(time.time())
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": when}


class Handler(http_server.Handler):
    api: KubernetesAPI

    def parse_request(self) -> bool:
        """Refuses what the account has no right to, whatever it is."""
        if not super().parse_request():
            return False
        if self.headers.get("Authorization") == "Bearer admin":
            return True
        wanted = rights.act(self.command, self.path)
        if rights.allowed(self.api.rules, wanted):
            self.api.acts.add(wanted)
            return True
        self.body()
        self.send(403, {"kind": "Status", "reason": "Forbidden", "message": f"cannot {wanted}"})
        return False

    def do_GET(self) -> None:
        kind, name, part, query = objects.parsed(self.path)
        if not kind:  # /version
            return self.send(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
        if part == "exec":
            return objects.execute(self, self.api.exec, name)
        if part == "log":
            return self._log(name, int(query.get("sinceSeconds", 1_000_000)))
        if kind == "trainjobs" and name:
            return self._answer(lambda _: self.api.get(name))
        if name:
            found = next((one for one in self.api.items(kind) if one["metadata"]["name"] == name), None)
            return self._answer(lambda _: (200, found) if found else (404, {"message": "NotFound"}))
        if query.get("watch", "").lower() == "true":
            return objects.stream(self, lambda: self.api.watched(kind), query)
        items = {"metadata": {"resourceVersion": "1"}, "items": objects.selected(self.api.items(kind), query)}
        return self._answer(lambda _: (200, {"kind": "List", "apiVersion": "v1", **items}))

    def do_POST(self) -> None:
        kind, *_ = objects.parsed(self.path)
        if kind == "trainjobs":
            return self._answer(self.api.create)
        if kind.endswith("accessreviews"):
            return self._answer(
                lambda body: (201, {"status": {"allowed": rights.reviewed(self.api.rules, body["spec"])}})
            )
        return self._answer(lambda body: (201, self.api.put(kind, body["metadata"].get("name", ""), body)))

    def do_DELETE(self) -> None:
        kind, name, *_ = objects.parsed(self.path)
        self._answer(lambda body: self.api.remove(kind, name, body))

    def _answer(self, act: Callable[[dict], tuple[int, dict]]) -> None:
        body = json.loads(self.body() or b"{}")
        with self.api.lock:
            if self.api.ills:
                self.api.ills, self.api.ill = self.api.ills - 1, self.api.ill + 1
                return self.send(503, {"message": "ill"})
            return self.send(*act(body))

    def _log(self, name: str, seconds: int) -> None:
        pod = next((p for pods in self.api.pods.values() for p in pods if p.name == name), None)
        if pod is None:
            there = name in self.api.logs
            return self.send(200 if there else 404, "\n".join(self.api.logs.get(name, [])).encode())
        first = time.time_ns() - seconds * 10**9
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = shown = 0
        while pod.pump.is_alive() or sent < len(pod.lines):
            for moment, line in pod.lines[sent:]:
                sent += 1
                if moment >= first:
                    objects.chunk(self, f"{precise(moment)} {line}\n".encode())
                    shown += 1
                if self.api.cuts and shown == 1:
                    self.api.cuts, self.api.cut = self.api.cuts - 1, self.api.cut + 1
                    self.close_connection = True
                    return self.connection.close()
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")
        return None


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[KubernetesAPI, Path]]:
    """The API and the kubeconfig that leads to it; its pods are ended at the end."""
    api, path = KubernetesAPI(), folder / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": "team"}
    with http_server.serving(Handler, api=api) as uri:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": uri}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": context}],
        }
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c", **config}))
        try:
            yield api, path
        finally:
            api.closed = True
            for pod in (pod for pods in api.pods.values() for pod in pods):
                pod.process.kill()
                pod.process.wait()
                pod.pump.join()
