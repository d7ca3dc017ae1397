"""A Kubernetes API over HTTP with Kubeflow Trainer behind it: pods are processes of this machine.

Objects are checked against Trainer's published models (kubeflow-trainer-api 2.3.0): whatever they would drop
or refuse is refused. Its webhook's rule on PET_ variables, and its names, are kept as well. Who asks may do
what the chart's Roles let the account of a pipeline's step do, and nothing else.
"""

from __future__ import annotations

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

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
        environment = {
            **os.environ,
            **{v["name"]: v["value"] for v in trainer.get("env", []) if "value" in v},
        }
        environment |= {
            "PET_NNODES": str(trainer["numNodes"]), "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(index), "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [*program, *trainer["command"][-1:]], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
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
        state = {"running": {}}
        if (code := self.process.poll()) is not None:
            reason = "OOMKilled" if code in (-9, 137) else "Error" if code else "Completed"
            state = {"terminated": {"exitCode": 128 - code if code < 0 else code, "reason": reason}}
        status = {"name": "node", "image": "x", "imageID": "x", "ready": True, "restartCount": 0}
        return {
            "metadata": {"name": self.name, "creationTimestamp": stamp(self.created)},
            "spec": {"containers": [{"name": "node"}]},
            "status": {"phase": self.phase(), "containerStatuses": [{**status, "state": state}]},
        }


class KubernetesAPI:
    """The state of one namespace, called `team`.

    Attributes:
        program: what pods run instead of the image's entry point, before the last word of the command.
        pending: seconds before pods run.
        cuts: of log streams, that many break off after a line each.
        ills: answers of 503 still to give.
        made: bodies of all TrainJobs ever made.
        rules: what the account may do.
        acts: what it has done.
    """

    def __init__(self) -> None:
        self.program = [sys.executable, "-m", "components.pretraining.watchdog"]
        self.pending, self.cuts, self.ills = 0.0, 0, 0
        self.made: list[dict] = []
        self.rules = rights.rules("pipeline-runner")
        self.acts = set[rights.Act]()
        self.cut = self.ill = 0  # how often each fault struck
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
        if name not in self.jobs:
            return 404, {"message": "NotFound"}
        job = self.jobs[name]
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
        pods = self.pods.get(name, [])
        phases = [pod.phase() for pod in pods]
        if "deletionTimestamp" in job["metadata"]:
            if "Running" not in phases:
                del self.jobs[name]
                self.pods.pop(name, None)
            return
        if job["spec"].get("suspend"):
            job["status"] = {"conditions": [condition("Suspended", "Suspended")]}
            return
        begin = job["metadata"].setdefault("annotations", {}).setdefault("begin", str(time.time()))
        if not pods and time.time() - float(begin) >= self.pending:
            port = free_port()
            nodes = job["spec"]["trainer"]["numNodes"]
            self.pods[name] = [Pod(job, index, self.program, port) for index in range(nodes)]
            phases = ["Running"]
        count = {kind: phases.count(kind) for kind in ("Running", "Failed", "Succeeded")}
        status = {"name": "node", "ready": count["Running"], "active": count["Running"], "suspended": 0}
        job["status"] = {"jobsStatus": [{**status, "succeeded": 0, "failed": count["Failed"]}]}
        seconds = job["spec"].get("activeDeadlineSeconds")
        if count["Failed"]:
            self._end(name)
            job["status"]["conditions"] = [condition("Failed", "FailedJobs", "jobset failed")]
        elif seconds and time.time() - float(begin) > seconds:
            self._end(name)
            job["status"]["conditions"] = [condition("Failed", "DeadlineExceeded", "too late")]
        elif phases and count["Succeeded"] == len(phases):
            job["status"]["conditions"] = [condition("Complete", "AllJobsCompleted", "done")]


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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        self._answer(lambda _, body: self.server.api.create(body))

    def parse_request(self) -> bool:
        """Refuses what the account has no right to, whatever it is."""
        if not super().parse_request():
            return False
        api, wanted = self.server.api, rights.act(self.command, self.path)
        if rights.allowed(api.rules, wanted):
            api.acts.add(wanted)
            return True
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._send(403, {"kind": "Status", "reason": "Forbidden", "message": f"cannot {wanted}"})
        return False

    def do_GET(self) -> None:
        if found := PODS.fullmatch(urlsplit(self.path).path):
            return self._log(found[1]) if found[1] else self._list()
        return self._answer(lambda name, _: self.server.api.get(name))

    def do_DELETE(self) -> None:
        self._answer(self.server.api.delete)

    def _answer(self, act) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or b"{}")
        with self.server.api.lock:
            if self.server.api.ills:
                self.server.api.ills, self.server.api.ill = self.server.api.ills - 1, self.server.api.ill + 1
                return self._send(503, {"message": "ill"})
            name = JOBS.fullmatch(urlsplit(self.path).path)[1]
            return self._send(*act(*([name] if name else [""]), body))

    def _list(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["labelSelector"][0]
        labels = dict(part.split("=") for part in query.split(","))
        assert labels["batch.kubernetes.io/job-completion-index"] == "0"
        pods = self.server.api.pods.get(labels["jobset.sigs.k8s.io/jobset-name"], [])
        items = [pod.body() for pod in pods if pod.index == 0]
        self._send(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _log(self, name: str) -> None:
        pod = next((p for pods in self.server.api.pods.values() for p in pods if p.name == name), None)
        if pod is None:
            return self._send(404, {"message": "NotFound"})
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
                    shown += 1
                if self.server.api.cuts and shown == 1:
                    self.server.api.cuts, self.server.api.cut = (
                        self.server.api.cuts - 1,
                        self.server.api.cut + 1,
                    )
                    self.close_connection = True
                    return self.connection.close()
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _send(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[KubernetesAPI, Path]]:
    """The API and the kubeconfig that leads to it; its pods are ended at the end."""
    api = KubernetesAPI()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.api = api
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    try:
        yield api, path
    finally:
        server.shutdown()
        server.server_close()
        for pod in (pod for pods in api.pods.values() for pod in pods):
            pod.process.kill()
            pod.process.wait()
            pod.pump.join()
