"""Versions of a text branch in MLflow, and our server of them as a process of its own."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from components.evaluation.answers import answered
from components.evaluation.system import System
from components.lib.registry.examples import FILE
from components.lib.registry.mlflow_model import Use, write
from components.lib.registry.registered_models import CHAMPION, Registered, Registry
from components.lib.registry.tracking import server
from components.lib.storage.store import Store
from tests.components.evaluation import branches
from tests.fakes.mlflow_server import free_port

LEASE = "2"  # seconds between two renewals
KIND = "sequence_classification"
TEXTS = branches.examples(KIND, 40).column("text").to_pylist()
CODE = {  # how a version is spoiled -> what its code does as it is loaded
    "cannot load": "raise RuntimeError('no such layer')",
    "exits": "raise SystemExit(0)",
    "dies": "import os; os.kill(os.getpid(), 9)",
    "hangs": "import time; time.sleep(600)",
}


def version(registry: Registry, store: Store, name: str, seed: int, spoiled: str = "") -> Registered:
    """A version of `name` with weights of a seed and the answers of evaluation, spoiled in a way."""
    branch = branches.commit(store, KIND, seed=seed, n=40)
    folder, use = store.open_folder(branch, "model/"), Use.of(KIND, "text")
    digests = {
        one.name.removeprefix("model/"): one.sha256 for one in branch.files if one.name.startswith("model/")
    }
    asked = answered(System.load(folder, branch.facts, []), branch.facts, {"text": TEXTS})
    if spoiled == "answers otherwise":
        asked = asked.replace('"score": 0.', '"score": 1.', 1)
    experiment = server.experiment(registry.client, name)
    run = registry.client.create_run(experiment).info.run_id

    def fill(target: Path, model_id: str) -> str:
        about = {"use": use, "readme": "", "examples": b"" if spoiled == "unasked" else asked.encode()}
        pinned = write(folder, digests, target, **about, model_id=model_id, run_id=run)
        if spoiled in CODE:
            with (target / "server.py").open("a") as code:
                code.write(f"\n{CODE[spoiled]}\n")
        if spoiled == "changed":
            (target / FILE).write_text("{}")
        return pinned

    tags = {"trunkline.store": store.uri}
    reference = f"{branch.reference}{spoiled.replace(' ', '-')}"
    return registry.register(
        name, reference, experiment_id=experiment, run_id=run, write=fill, tags=tags, card="# made"
    )


@dataclass
class Server:
    """Our server: asked over HTTP, its log read, stopped by a signal."""

    process: subprocess.Popen
    port: int
    log: Path

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer; a body is sent as JSON, bytes as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        head = {"Content-Type": "application/json", **headers} if body is not None else headers
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as line:
            line.request("GET" if body is None else "POST", path, data, head)
            answer = line.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}

    def predictions(self, texts: list[str]) -> tuple[list, str]:
        """The answers to texts, and the version that gave them."""
        status, body, headers = self.ask("/invocations", {"inputs": texts})
        assert status == 200, body
        return json.loads(body)["predictions"], headers["x-trunkline-version"]

    def told(self) -> str:
        return self.log.read_text()

    def wait(self, what: str, seconds: float = 240) -> None:
        """Until its log says it."""
        until(lambda: what in self.told(), seconds, lambda: f"not said: {what}\n{self.told()}")

    def ready(self) -> None:
        def is_ready() -> bool:
            with contextlib.suppress(OSError):
                return self.ask("/ready")[0] == 200
            return False

        until(is_ready, 240, self.told)

    def model(self) -> psutil.Process:
        """The process that holds the model."""
        found = psutil.Process(self.process.pid).children()
        (one,) = (child for child in found if "spawn_main" in " ".join(child.cmdline()))
        return one

    def stop(self, seconds: float = 30) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def until(holds, seconds: float, told) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, told()
        time.sleep(0.1)


@contextlib.contextmanager
def serving(uri: str, name: str, folder: Path, *words: str, follow: float = 0.5) -> Iterator[Server]:
    """The server of the champion of `name`; killed at the end."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "components.lib.registry.model_server", name, "--port", str(port)]
    variables = {"MLFLOW_TRACKING_URI": uri, "TRUNKLINE_FOLLOW_SECONDS": str(follow), "TMPDIR": str(folder)}
    variables |= {"TRUNKLINE_LEASE_SECONDS": LEASE, "PYTHONWARNINGS": "ignore"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--linger", "0.5", *words],
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Server(process, port, folder / "log")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def champion(registry: Registry, made: Registered) -> Registered:
    """Makes a version the champion, the one before `previous`, as promotion does."""
    before = registry.find(made.name, CHAMPION)
    if before is not None:
        registry.set_alias(before, "previous")
    registry.set_alias(made, CHAMPION)
    return made


def holder(registry: Registry, name: str, alias: str = CHAMPION) -> str:
    found = registry.find(name, alias)
    return found.version if found else ""
