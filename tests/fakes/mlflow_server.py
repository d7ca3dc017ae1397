"""A real MLflow server on a free port, for tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from components.lib.registry.tracking import probe
from components.lib.registry.tracking.server import ENVIRONMENT

os.environ.update(ENVIRONMENT)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(
    folder: Path, words: Sequence[str] = (), variables: Mapping[str, str] = {}, port: int = 0
) -> Iterator[str]:
    """The URI of a server with a sqlite file and artifacts in `folder`; stopped at the end.

    Args:
        folder: of the database, the artifacts and the log.
        words: another command and arguments of `mlflow`; host, port and workers are ours.
        variables: more environment.
        port: that of a server that was there before; 0: a free one.
    """
    port = port or free_port()
    places = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination"]
    words = words or ["server", *places, str(folder / "artifacts")]
    ours = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", *words, *ours]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    environment |= variables
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        environment.pop(name, None)
    uri = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
        try:
            _wait(uri, process, folder / "server.log")
            yield uri
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(uri: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(Exception):
            probe(uri)
            return
        time.sleep(0.2)
    raise RuntimeError(f"the MLflow server did not start:\n{log.read_text()}")
