"""Runners of the stages of a local run: processes, or the containers of a cluster.

Each says what of the cluster's settings it does not use, for KFP leaves them out without a word.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import local

from components.lib.core.errors import ServiceError, UsageError

RUNNERS = ("processes", "containers")
IGNORED = "node pools, accelerators, secrets, volumes, time limits and retries of a cluster are not used"
ENDED = "trunkline: the process ended with exit code"
USER = 1001  # as the images are built; a user of this machine who is not root keeps their own number
_PASSED_ON = tuple(
    "AWS_ HF_ MLFLOW_ OMP_ PIP_EXTRA_INDEX_URL PIP_INDEX_URL PIP_TRUSTED_HOST TRUNKLINE_ALLOWED_HOSTS "
    "TRUNKLINE_SECRET_".split()
)


def says(runner: str) -> str:
    """What a run by this runner is, in a line."""
    if runner == "processes":
        return f"in processes of this machine: container images, resources, {IGNORED}"
    how = f"as user {_user()}, root file system read-only"
    return f"in containers of this machine, {how}: resources, {IGNORED}"


def check(runner: str, parameters: Mapping[str, Any]) -> None:
    """Raises UsageError for what containers cannot reach: folders of this machine."""
    if runner == "processes":
        return
    for name, schemes in (("store", ("s3://",)), ("tracking_uri", ("http://", "https://"))):
        if not str(parameters[name]).startswith(schemes):
            what, where = "containers share no folder with this machine", f"--{name.replace('_', '-')}"
            expected = " or ".join(f"{scheme}..." for scheme in schemes)
            raise UsageError(what, where=where, found=parameters[name], expected=expected)


@contextlib.contextmanager
def running(runner: str, root: Path, run_id: str) -> Iterator[Any]:
    """KFP's runner, with outputs in the new folder `root`; no container outlives it.

    Raises:
        ServiceError: if no container engine answers.
    """
    root.mkdir()
    if runner == "processes":
        with _python(root):
            yield local.SubprocessRunner(use_venv=False)
        return
    if os.geteuid() == 0:
        os.chown(root, USER, USER)
    from docker.errors import APIError

    label = f"trunkline.run={run_id}"
    with _engine() as client:
        try:
            yield _containers(label)
        finally:
            for container in client.api.containers(all=True, filters={"label": label}):
                with contextlib.suppress(APIError):  # it ended, or is being removed, by itself
                    client.api.remove_container(container["Id"], force=True)


@contextlib.contextmanager
def _python(folder: Path) -> Iterator[None]:
    """Processes are started by a `python3` in the path that is this interpreter, and tells its exit code.

    For KFP puts `sys.executable` into a line of a shell as it is, whatever blanks and quotes are in it, in
    place of every `python3`, also of one in a parameter; and of a process it says only that it failed.
    """
    own, before = sys.executable, os.environ["PATH"]
    script = folder / "bin" / "python3"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\n{shlex.quote(own)} "$@" || {{ code=$?; echo "{ENDED} $code"; exit $code; }}\n'
    )
    script.chmod(0o755)
    os.environ["PATH"], sys.executable = f"{script.parent}{os.pathsep}{before}", "python3"
    try:
        yield
    finally:
        os.environ["PATH"], sys.executable = before, own


def _containers(label: str) -> local.DockerRunner:
    """Containers as restricted as pods: no root, no capabilities, only /tmp to write to; host network."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    return local.DockerRunner(
        user=f"{_user()}:{_user()}",
        environment={**environment, "PYTHONIOENCODING": "ascii:backslashreplace"},  # KFP cuts logs anywhere
        labels=dict([label.split("=", 1)]),
        network_mode="host",
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size="1g",
        init=True,
    )


def _user() -> int:
    return os.geteuid() or USER


@contextlib.contextmanager
def _engine() -> Iterator[Any]:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        fix = "start Docker, or set DOCKER_HOST"
        raise ServiceError("no container engine answers", where="--runner", found=error, fix=fix) from error
    with contextlib.closing(client):
        yield client
