"""A pod of a TrainJob as a process of this machine, with its log and its status."""

import os
import subprocess
import threading
import time
import uuid
from datetime import UTC, datetime

from tests.fakes.recorded_trainjob import labels_of


class Pod:
    """One process, its output and the moment of each line.

    A process that ends with 137 was killed for memory, one that is killed was not.
    """

    def __init__(self, job: dict, index: int, program: list[str], port: int, attempt: int = 0) -> None:
        trainer = job["spec"]["trainer"]
        self.attempt, self.resources = attempt, trainer.get("resourcesPerNode", {})
        self.job = job["metadata"]["name"]
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
            reason = "OOMKilled" if code == 137 else "Error" if code else "Completed"
            times = {"startedAt": begin, "finishedAt": stamp(time.time())}
            state = {"terminated": {"exitCode": 128 - code if code < 0 else code, "reason": reason, **times}}
        status = {"name": "node", "image": "x", "imageID": "x", "ready": code is None, "restartCount": 0}
        return {
            "metadata": {
                "name": self.name,
                "labels": labels_of(self.job, self.index, self.attempt),
                "creationTimestamp": begin,
            },
            "spec": {"containers": [{"name": "node", "resources": self.resources}]},
            "status": {"phase": self.phase(), "containerStatuses": [{**status, "state": state}]},
        }


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(nanoseconds: int) -> str:
    """As Kubernetes writes it: nanoseconds without the zeros at their end."""
    whole, part = divmod(nanoseconds, 10**9)
    fraction = f"{part:09d}".rstrip("0")
    return stamp(whole)[:-1] + (f".{fraction}" if fraction else "") + "Z"
