"""Requests a second, p50 and p99 of a small text branch: our server against `mlflow models serve`, in turns.

    python -m tests.benchmarks.bench_serving

Both are processes of their own on the same cores, asked by the same clients over connections that stay open:
one text a request, by 1, 8 and 32 clients. CPU-seconds a request are those of each server with its children.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil

from components.lib.registry.registered_models import Registry
from components.lib.storage.store import Store
from tests import served
from tests.benchmarks.history import record, sized
from tests.fakes.mlflow_server import free_port
from tests.fakes.mlflow_server import serving as tracking

NAME, CLIENTS, (SECONDS, TURNS) = "bench", (1, 8, 32), sized((4.0, 5), (0.5, 1))
HEAD = {"Content-Type": "application/json"}


def main() -> None:
    """Prints and records the figures, and the ratios of the medians."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        registry = Registry(stack.enter_context(tracking(folder)))
        served.champion(registry, served.version(registry, Store(str(folder / "store")), NAME, seed=0))
        ours = stack.enter_context(served.serving(registry.uri, NAME, folder / "ours", follow=60))
        ours.ready()
        sides = {
            "ours": (ours.port, ours.process.pid),
            "mlflow": stack.enter_context(peer(registry.uri, folder)),
        }
        found = {(side, n): list[dict]() for side in sides for n in CLIENTS}
        for turn in range(TURNS + 1):  # the first warms up
            for n in CLIENTS:
                for side, (port, pid) in sides.items():
                    figures = load(port, pid, n)
                    if turn:
                        found[side, n].append(figures)
    record("serving", summary(found))


def summary(found: dict) -> dict[str, float]:
    """Medians over the turns, printed too."""
    figures = {}
    for (side, n), rows in found.items():
        for name in rows[0]:
            figures[f"{side}, {n} clients: {name}"] = float(np.median([row[name] for row in rows]))
    for n in CLIENTS:
        pairs = zip(found["ours", n], found["mlflow", n], strict=True)
        ratios = [one["requests/s"] / other["requests/s"] for one, other in pairs]
        for what, value in zip(
            ("ratio", "low", "high"), (np.median(ratios), min(ratios), max(ratios)), strict=True
        ):
            figures[f"requests/s, {n} clients: {what}"] = float(value)
    for name, value in figures.items():
        print(f"{name:<44} {value:10.4g}", flush=True)
    return figures


@contextmanager
def peer(uri: str, folder: Path):
    """Port and process of `mlflow models serve`."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "peer.log").open("w") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            served.until(lambda: answers(port), 180, lambda: (folder / "peer.log").read_text())
            yield port, process.pid
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def answers(port: int) -> bool:
    """Whether somebody answers `/ping`."""
    try:
        line = HTTPConnection("127.0.0.1", port, timeout=5)
        line.request("GET", "/ping")
        return line.getresponse().status == 200
    except OSError:
        return False


def load(port: int, pid: int, clients: int) -> dict[str, float]:
    """Requests by so many clients at once, for SECONDS."""
    times: list[float] = []
    end, before = time.perf_counter() + SECONDS, cpu(pid)

    def ask(number: int) -> None:
        line = HTTPConnection("127.0.0.1", port, timeout=60)
        place = number
        while (begun := time.perf_counter()) < end:
            body = json.dumps({"inputs": [served.TEXTS[place % len(served.TEXTS)]]})
            line.request("POST", "/invocations", body, HEAD)
            answer = line.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            times.append(time.perf_counter() - begun)
            place += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = cpu(pid) - before
    return {
        "requests/s": len(times) / SECONDS,
        "p50 ms": 1e3 * float(np.percentile(times, 50)),
        "p99 ms": 1e3 * float(np.percentile(times, 99)),
        "CPU ms a request": 1e3 * spent / len(times),
    }


def cpu(pid: int) -> float:
    """CPU-seconds of a process and all below it."""
    top = psutil.Process(pid)
    spent = [one.cpu_times() for one in (top, *top.children(recursive=True))]
    return sum(one.user + one.system for one in spent)


if __name__ == "__main__":
    main()
