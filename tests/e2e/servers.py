"""What a cluster would have around the pipelines: PostgreSQL, an S3 server, MLflow in its own image."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from components.lib.registry.tracking import probe
from images import contents
from tests.charts.rendering import server
from tests.fakes.mlflow_server import free_port

RESTRICTED = "--user 1001:1001 --read-only --tmpfs /tmp:mode=1777 --cap-drop ALL".split()
RESTRICTED += ["--security-opt", "no-new-privileges"]


def hardened() -> dict[str, str]:
    """Variables of the server as the chart sets them: no jobs, pickles, redirects or models of elsewhere."""
    entries = server()["containers"][0]["env"]
    return {one["name"]: one["value"] for one in entries if "value" in one and one["name"][:6] == "MLFLOW"}


def docker(*words: str) -> str:
    """What the engine's client prints."""
    command = [os.environ.get("DOCKER") or "docker", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return (done.stdout + done.stderr if words[0] == "logs" else done.stdout).strip()


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The URI of Debian's PostgreSQL, which refuses to run as root, to be completed with a database."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.mkdir()
    if as_user:
        shutil.chown(folder, "postgres")
        for parent in folder.parents:
            if str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
    data, port = folder / "data", free_port()
    options = ["--auth=trust", "--username=trunkline", "--no-sync", "-D", str(data)]
    subprocess.run([*as_user, str(programs / "initdb"), *options], check=True, capture_output=True, cwd="/")
    command = [*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    with (folder.parent / "postgresql.log").open("w") as log:
        process = subprocess.Popen([*command, "-h", "127.0.0.1"], stdout=log, stderr=log, cwd="/")
    try:
        yield f"postgresql://trunkline@127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def mlflow(database: str, artifacts: str) -> Iterator[str]:
    """The URI of a hardened MLflow server: the tracking image, as restricted as a pod, artifacts by proxy."""
    port = free_port()
    variables = {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        **hardened(),
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
    }
    words = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    image = contents.name("tracking", os.environ.get("TRUNKLINE_IMAGES") or "{image}:{tag}")
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    container = docker("run", "--detach", "--network", "host", *RESTRICTED, *words, image, *command)
    try:
        _wait(f"http://127.0.0.1:{port}", container)
        yield f"http://127.0.0.1:{port}"
    finally:
        docker("rm", "--force", container)


def new_database(server: str, name: str) -> str:
    """The URI of a new database."""
    import psycopg

    for _ in range(100):
        with contextlib.suppress(psycopg.OperationalError):  # it starts in a second
            with psycopg.connect(f"{server}postgres", autocommit=True) as connection:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
            return f"{server}{name}"
        time.sleep(0.1)
    raise AssertionError("PostgreSQL did not start")


def _wait(uri: str, container: str) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            probe(uri)
            return
        time.sleep(0.5)
    raise AssertionError(f"the MLflow server did not start: {docker('logs', container)}")
