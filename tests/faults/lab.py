"""The pretraining stage in processes of its own, faults in them, and what must hold whatever struck."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from components.lib.core.failpoints import VARIABLE
from components.lib.core.settings import to_dict
from components.lib.storage import artifacts
from components.lib.storage.store import Store
from components.pretraining.config import Config

TINY = Config(
    trunk={"architecture": "modernbert", "size": "nano", "sequence_length": 32, "unit": "document"},
    objective={"masked_lm": {}},
    steps=40,
    global_batch=16,
    learning_rate=3e-3,
    evaluate_every=20,
    checkpoint_every=5,
    threads=1,
    nproc=2,
    hang_seconds=60,
)
ALONE = replace(TINY, nproc=1)
STAGE = """
import json, sys
from pathlib import Path
from components.lib.core.settings import from_dict
from components.lib.storage.stage import stage
from components.pretraining.config import Config
from components.pretraining.run import run
job = json.loads(sys.argv[1])
with stage("pretraining", job) as context:
    run(from_dict(Config, job["config"]), context, tokens=Path(job["tokens"]), trunk=Path(job["trunk"]))
"""
LIMIT = 240.0  # seconds: what takes longer hangs


@dataclass
class Done:
    """A run that ended."""

    code: int
    log: str


class Lab:
    """One store with tokens, and runs of one training on it.

    Args:
        folder: of this lab alone.
        prepared: where `tests.made.corpora.topic_tokens` was.
        uri: of a store elsewhere, which has the tokens already.
    """

    def __init__(self, folder: Path, prepared: Path, config: Config = TINY, uri: str = "") -> None:
        self.folder, self.config = folder, config
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir(parents=True)
        self.uri = uri or str(folder / "store")
        self.tokens, self.trunk = prepared / "tokens.json", folder / "trunk.json"
        self.logs = 0
        if not uri:
            shutil.copytree(prepared / "store" / "tokenization", folder / "store" / "tokenization")

    @property
    def store(self) -> Store:
        return Store(self.uri, cache=self.folder / "cache")

    def arm(self, name: str, action: str) -> None:
        """Sets a failpoint, again perhaps; `fired` tells whether it struck."""
        (self.failpoints / f"{name}.fired").unlink(missing_ok=True)
        (self.failpoints / name).write_text(action)

    def fired(self, name: str) -> bool:
        return (self.failpoints / f"{name}.fired").exists()

    def start(self, config: Config | None = None, **environment: str) -> subprocess.Popen:
        """The stage, in a session of its own."""
        self.logs += 1
        details = {"tracking_uri": "", "run_id": "lab", "details": {}}
        details |= {name: environment.pop(name) for name in [*details] if name in environment}
        paths = {"tokens": str(self.tokens), "trunk": str(self.trunk)}
        job = {"store": self.uri, "run": details, "config": to_dict(config or self.config), **paths}
        command = [sys.executable, "-c", STAGE, json.dumps(job)]
        environment = {**os.environ, VARIABLE: str(self.failpoints), **environment}
        with (self.folder / f"{self.logs}.log").open("w") as log:
            out = {"stdout": log, "stderr": subprocess.STDOUT}
            return subprocess.Popen(command, env=environment, start_new_session=True, **out)

    def frozen(
        self, when: str, point: str = "training.step", config: Config | None = None, **environment: str
    ) -> subprocess.Popen:
        """The stage, with a process stopped (SIGSTOP) at a failpoint."""
        self.arm(point, f"stop {when}")
        process = self.start(config, **environment)
        self.until(process, lambda: self.fired(point))
        return process

    def end(self, process: subprocess.Popen) -> Done:
        """Waits for the end of a run."""
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            kill_all(process)
            raise AssertionError(f"it did not end:\n{self.log()[-3000:]}") from None
        return Done(code, self.log())

    def log(self) -> str:
        return (self.folder / f"{self.logs}.log").read_text()

    def run(self, config: Config | None = None, **environment: str) -> Done:
        """Starts the stage and waits for its end."""
        return self.end(self.start(config, **environment))

    def until(self, process: subprocess.Popen, met) -> None:
        """Waits until `met()`, while the process runs."""
        end = time.monotonic() + LIMIT
        while not met():
            assert process.poll() is None and time.monotonic() < end, self.log()[-3000:]
            time.sleep(0.01)

    def commits(self) -> list[int]:
        """Steps of the committed checkpoints; each of them is whole (C)."""
        objects, steps = self.store.objects, []
        for key in list(objects.keys("checkpoints/")):
            if not key.endswith(".commit.json"):
                continue
            record = json.loads(objects.read(key))
            for entry in record["files"]:
                data = objects.read(f"{record['folder']}/{entry['name']}")
                assert (len(data), artifacts.sha256(data)) == (entry["bytes"], entry["sha256"]), key
            steps.append(int(Path(key).name.partition(".")[0]))
        return sorted(steps)

    def weights(self) -> bytes:
        return self.store.open(artifacts.read(self.trunk), "model/model.safetensors").read_bytes()

    def history(self) -> list[dict]:
        text = self.store.open(artifacts.read(self.trunk), "history.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def assert_whole(self, reference: Lab, done: Done) -> None:
        """B (losses at every step and weights, to the bit, so L: the same samples), one trunk, no debris."""
        assert done.code == 0, done.log[-3000:]
        assert self.history() == reference.history()
        assert self.weights() == reference.weights()
        assert artifacts.read(self.trunk).digest == artifacts.read(reference.trunk).digest
        keys = list(self.store.objects.keys(""))
        assert not [key for key in keys if key.startswith(("checkpoints/", "launches/"))]
        assert len([key for key in keys if key.startswith("pretraining/") and "manifest" in key]) == 1
        assert not orphans(self.failpoints)


def kill_all(process: subprocess.Popen) -> None:
    """SIGKILL to a launcher and all below it, as when a machine dies."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for found in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.kill()
    process.wait()


def below(process: subprocess.Popen, module: str = "components.pretraining.train") -> list[psutil.Process]:
    """The processes below a launcher that run a module: the training processes."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [each for each in found if module in " ".join(each.cmdline()[:4])]


def orphans(failpoints: Path) -> list[psutil.Process]:
    """Processes of this lab that still run, after a moment to end."""
    end = time.monotonic() + 20
    while found := [p for p in psutil.process_iter() if _of(p, failpoints)]:
        if time.monotonic() > end:
            return found
        time.sleep(0.1)
    return []


def _of(process: psutil.Process, failpoints: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.environ().get(VARIABLE) == str(failpoints)
    return False


def terminate(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
