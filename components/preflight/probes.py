"""Looks at what a run needs around it: the store, MLflow, the disk, the devices; 3 seconds at most."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from components.lib.core.errors import ConfigError, OutputError, ServiceError, TrunklineError
from components.lib.core.hardware import cores, memory
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.preflight.plan import Plan

LIMIT = 3.0  # seconds
RESERVE = 1 << 30  # bytes that must be free wherever outputs are made


def together(probes: dict[str, Callable[[], None]], limit: float = LIMIT) -> dict[str, TrunklineError]:
    """Runs the probes side by side; a probe that is not done after `limit` seconds counts as no answer.

    Returns:
        What the probes complained of, by their names.
    """
    results: dict[str, Exception | None] = {}

    def look(name: str, probe: Callable[[], None]) -> None:
        try:
            probe()
            results[name] = None
        except Exception as error:
            results[name] = error

    # Daemons: one that hangs in a socket must not keep the process alive.
    threads = [threading.Thread(target=look, args=item, daemon=True) for item in probes.items()]
    end = time.monotonic() + limit
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    errors: dict[str, TrunklineError] = {}
    for name in probes:
        what = f"{name} does not answer within {limit:.0f} s"
        silent = ServiceError(what, fix="check the address and that it is reachable from here")
        error = results.get(name, silent)
        if isinstance(error, TrunklineError):
            errors[name] = error
        elif error is not None:
            raise error
    return errors


def store(target: Store) -> None:
    """Writes, reads and deletes a small object; tells if a second writer would not see the first."""
    key, data = f"runs/probe-{uuid.uuid4().hex}", b"trunkline"
    target.objects.write(key, data)
    found = target.objects.read(key)
    if target.objects.write(key, b"another", if_absent=True):
        print(
            f"preflight: {target.uri} does not know conditional writes (If-None-Match): do not let two "
            "runs of the same settings make the same output at the same time",
            flush=True,
        )
    target.objects.delete(key)
    if found != data:
        raise ServiceError("the store gives back other bytes than it was given", where=target.uri)


def tracking(context: Context, plan: Plan) -> None:
    """Asks MLflow for a sign of life, for the experiment and for the models of the run.

    Tells if versions of the trunk were made of other data until now: two folders may have the same name.
    """
    from components.lib.registry.tracking import probe

    if not context.tracking_uri:
        fix = "give the parameter `tracking_uri` or set MLFLOW_TRACKING_URI"
        raise ConfigError("no MLflow server is named", where="tracking_uri", fix=fix)
    experiment = "" if os.environ.get("MLFLOW_RUN_ID") else str(context.details["preset"])
    models = [str(task["evaluation"]["model"]) for task in plan.tasks]
    trunk = str(plan.stages["registration"]["name"])
    tags = probe(context.tracking_uri, LIMIT, experiment=experiment, models=models, trunk=trunk)
    before, now = tags.get("trunkline.sources"), context.details["sources"]
    if before and before != now:
        other = "SET='registration.name=...' gives another name"
        context.tell(f"{trunk} was made of {before} until now, and gets a version made of {now}: {other}")


def need(sources: list[str]) -> int:
    """Bytes that a run writes, as far as local sources tell: packs, corpus, tokens, each as big as the text.

    What duplicates are found on besides is told by ingestion, which knows the number of documents.
    """
    paths = (Path(source).expanduser() for source in sources if ":" not in source.partition("/")[0])
    return 3 * sum(_size(path) for path in paths)


def _size(path: Path) -> int:
    """Bytes of a file, of a folder, or of what a pattern like `folder/*.txt` names."""
    if path.is_file():
        return path.stat().st_size
    folder, pattern = (path, "**/*") if path.is_dir() else (path.parent, path.name)
    return sum(entry.stat().st_size for entry in folder.glob(pattern) if entry.is_file())


def disk(target: Store, need: int) -> None:
    """Compares the free space with the need where stages write."""
    folder = target.objects.local("") or Path(os.environ.get("TMPDIR", "/tmp"))
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < need + RESERVE:
        raise OutputError(
            "there is too little free disk space",
            where=str(folder),
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{(need + RESERVE) / 1e9:.1f} GB",
            fix="free space, or name another store",
        )


def devices() -> str:
    """Processors, memory and accelerators of this machine, in words."""
    return f"{cores()} CPUs, {memory() / 1e9:.1f} GB memory, {', '.join(gpus()) or 'no GPU'}"


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs that the driver lists; empty where there is no driver."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
