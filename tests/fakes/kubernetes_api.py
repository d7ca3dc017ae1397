"""A Kubernetes API over HTTP with Kubeflow Trainer behind it: pods are processes of this machine.

Objects are checked against Trainer's published models (kubeflow-trainer-api 2.3.0): whatever they would drop
or refuse is refused. Its webhook's rule on PET_ variables, and its names, are kept as well. Who asks may do
what the chart's Roles let the account of a pipeline's step do, and nothing else. Restarts by JobSet are left
out: a pod that fails fails its TrainJob.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from tests.fakes import http_server
from tests.fakes import kubernetes_rights as rights
from tests.fakes.mlflow_server import free_port

JOBS = re.compile(r"/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs(?:/([^/]+))?")
PODS = re.compile(r"/api/v1/namespaces/team/pods(?:/([^/]+)/log)?")


class Pod:
    """One process, its output and the moment of each line."""

    def __init__(self, job: dict, index: int, program: list[str], port: int) -> None:
        trainer = job["spec"]["trainer"]
        self.name, self.index = f"{job['metadata']['name']}-node-0-{index}-{uuid.uuid4().hex[:5]}", index
        self.created, self.lines = time.time(), list[tuple[int, str]]()
        given = {one["name"]: one["value"] for one in trainer.get("env", []) if "value" in one}
        given |= {
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
        }
        given |= {"PET_NODE_RANK": str(index), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port)}
        command, pipe = [*program, *trainer["command"][-1:]], {"stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            command, env={**os.environ, **given}, stderr=subprocess.STDOUT, **pipe
        )
        self.pump = threading.Thread(target=self._read, daemon=True)
        self.pump.start()

    def _read(self) -> None:
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append((time.time_ns(), line.rstrip("\n")))

    def phase(self) -> str:
        code = self.process.poll()
        return "Running" if code is None else "Failed" if code else "Succeeded"

    def body(self) -> dict:
        code, begin = self.process.poll(), stamp(self.created)
        state = {"running": {"startedAt": begin}}
        if code is not None:
            reason = "OOMKilled" if code in (-9, 137) else "Error" if code else "Completed"
            times = {"startedAt": begin, "finishedAt": stamp(time.time())}
            state = {"terminated": {"exitCode": 128 - code if code < 0 else code, "reason": reason, **times}}
        status = {"name": "node", "image": "x", "imageID": "x", "ready": code is None, "restartCount": 0}
        return {
            "metadata": {"name": self.name, "creationTimestamp": begin},
            "spec": {"containers": [{"name": "node"}]},
            "status": {"phase": self.phase(), "containerStatuses": [{**status, "state": state}]},
        }


class KubernetesAPI:
    """The state of one namespace, called `team`.

    Attributes:
        program: what pods run instead of the image's entry point, before the last word of the command.
        pending: seconds before pods run.
        cuts: of log streams, that many break off after a line each; `cut` have.
        ills: answers of 503 still to give; `ill` were given.
        made: bodies of all TrainJobs ever made.
        rules: what the account may do.
        acts: what it has done.
    """

    def __init__(self) -> None:
        self.program = [sys.executable, "-m", "components.pretraining.watchdog"]
        self.pending, self.cuts, self.ills = 0.0, 0, 0
        self.cut = self.ill = 0
        self.made: list[dict] = []
        self.rules = rights.rules("pipeline-runner")
        self.acts = set[rights.Act]()
        self.jobs: dict[str, dict] = {}
        self.pods: dict[str, list[Pod]] = {}
        self.lock = threading.RLock()

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
        return 201, body

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


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(nanoseconds: int) -> str:
    """As Kubernetes writes it: nanoseconds without the zeros at their end."""
    whole, part = divmod(nanoseconds, 10**9)
    fraction = f"{part:09d}".rstrip("0")
    return stamp(whole)[:-1] + (f".{fraction}" if fraction else "") + "Z"


class Handler(http_server.Handler):
    api: KubernetesAPI

    def parse_request(self) -> bool:
        """Refuses what the account has no right to, whatever it is."""
        if not super().parse_request():
            return False
        wanted = rights.act(self.command, self.path)
        if rights.allowed(self.api.rules, wanted):
            self.api.acts.add(wanted)
            return True
        self.body()
        self.send(403, {"kind": "Status", "reason": "Forbidden", "message": f"cannot {wanted}"})
        return False

    def do_GET(self) -> None:
        if found := PODS.fullmatch(urlsplit(self.path).path):
            return self._log(found[1]) if found[1] else self._list()
        return self._answer(lambda name, _: self.api.get(name))

    def do_POST(self) -> None:
        self._answer(lambda _, body: self.api.create(body))

    def do_DELETE(self) -> None:
        self._answer(lambda name, body: self.api.delete(name, body))

    def _answer(self, act) -> None:
        body = json.loads(self.body() or b"{}")
        with self.api.lock:
            if self.api.ills:
                self.api.ills, self.api.ill = self.api.ills - 1, self.api.ill + 1
                return self.send(503, {"message": "ill"})
            return self.send(*act(JOBS.fullmatch(urlsplit(self.path).path)[1], body))

    def _list(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["labelSelector"][0]
        labels = dict(part.split("=") for part in query.split(","))
        assert labels["batch.kubernetes.io/job-completion-index"] == "0"
        pods = self.api.pods.get(labels["jobset.sigs.k8s.io/jobset-name"], [])
        items = [pod.body() for pod in pods if pod.index == 0]
        self.send(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _log(self, name: str) -> None:
        pod = next((p for pods in self.api.pods.values() for p in pods if p.name == name), None)
        if pod is None:
            return self.send(404, {"message": "NotFound"})
        seconds = parse_qs(urlsplit(self.path).query).get("sinceSeconds", ["1000000"])[0]
        first = time.time_ns() - int(seconds) * 10**9
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = shown = 0
        while pod.pump.is_alive() or sent < len(pod.lines):
            for moment, line in pod.lines[sent:]:
                sent += 1
                if moment >= first:
                    data = f"{precise(moment)} {line}\n".encode()
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                    self.wfile.flush()
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
            for pod in (pod for pods in api.pods.values() for pod in pods):
                pod.process.kill()
                pod.process.wait()
                pod.pump.join()
