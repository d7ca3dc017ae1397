"""A store with a past: trunks, registered and not, runs that ended or not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.lib.core.failpoints import VARIABLE
from components.lib.registry.registered_models import Registry
from components.lib.registry.retention import Policy, Report, collect
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from tests import models
from tests.architecture.imports import ROOT
from tests.components.lib.registry.test_registered_models import register

DAY = 86_400.0
DELETE = Policy(delete=True)


def chain(store: Store, name: str) -> list[Manifest]:
    """Corpus, tokens, trunk: `name` makes them unlike others."""
    corpus = models.commit(store, "ingestion", {}, {}, files={"shard": name * 100}, config={"name": name})
    tokens = models.commit(store, "tokenization", {"corpus": corpus}, {}, files={"shard": name * 10})
    files: dict[str, Any] = {"model/weights": name * 1000, "history.jsonl": "{}"}
    return [corpus, tokens, models.commit(store, "pretraining", {"tokens": tokens}, {}, files=files)]


def registered(registry: Registry, model: str, manifest: Manifest) -> None:
    """A version whose tags name the manifest."""
    register(registry, model, manifest.reference)


def ledger(store: Store, run: str, outputs: list[Manifest], *, ended: bool = True) -> None:
    """What the stages of a run leave."""
    for manifest in outputs:
        record = {"stage": manifest.key.stage, "outputs": [{"reference": manifest.reference, "reused": True}]}
        store.objects.write(f"runs/{run}/{manifest.key.stage}.json", json.dumps(record).encode())
    if ended:
        store.objects.write(f"runs/{run}/exit.json", b'{"status": "succeeded"}')


def age(store: Store, days: float, prefix: str = "") -> None:
    """Makes files of a store on disk older."""
    root = store.objects.local("")
    assert root is not None
    for key in store.objects.keys(prefix):
        before = time.time() - days * DAY
        os.utime(Path(root, key), (before, before))


def later(store: Store, registry: Registry, days: float, policy: Policy = DELETE) -> Report:
    """A collection in some days."""
    return collect(store, registry, policy, time.time() + days * DAY)


def listing(store: Store) -> dict[str, int]:
    """Every object with its size."""
    return {entry.key: entry.bytes for entry in store.objects.entries("")}


def whole(store: Store, manifests: list[Manifest]) -> bool:
    """Whether every file can be opened, its bytes checked."""
    fresh = Store(store.uri, cache=store.cache / str(time.time_ns()))
    return all(
        fresh.find(manifest.key) is not None and fresh.open(manifest, file.name).stat().st_size == file.bytes
        for manifest in manifests
        for file in manifest.files
    )


def place(manifest: Manifest) -> str:
    """stage/key."""
    return f"{manifest.key.stage}/{manifest.key.digest}"


@contextmanager
def program(
    store: Store, registry: Registry, *words: str, failpoints: Path | str = ""
) -> Iterator[subprocess.Popen]:
    """The program as a process; killed at the end."""
    environment = {**os.environ, VARIABLE: str(failpoints), "TRUNKLINE_STORE": store.uri}
    environment |= {"MLFLOW_TRACKING_URI": registry.uri, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", "components.lib.registry.retention", *words],
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
