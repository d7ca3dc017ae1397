"""Puts a published checkpoint into the store, once: checked, with its settings reduced to what decides it."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path

from components.lib import modalities
from components.lib.core.errors import ConfigError
from components.lib.models import loading
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Draft, Store
from components.preflight.plan import PUBLIC
from components.preflight.public_weights import checkpoint as checkpoints
from components.preflight.public_weights import license
from components.preflight.public_weights.checkpoint import INDEX, Checkpoint
from components.preflight.public_weights.origin import Origin, resolve

VERSION = 1
KEPT = ("tokenizer.json",)


def obtain(store: Store, reference: str, modality: str) -> tuple[Manifest, bool]:
    """The manifest of a checkpoint, and whether the store had it already.

    Raises:
        TrunklineError: as `origin.resolve` and `checkpoint.read` do.
        ConfigError: if it is of another modality.
    """
    origin = resolve(reference)
    key = Key(PUBLIC, VERSION, {"reference": reference, "revision": origin.revision})
    manifest = store.find(key)
    if manifest is not None:
        _check_modality(manifest.facts["model_type"], modality, reference)
        return manifest, True
    with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch, store.draft(key) as draft:
        folder = Path(scratch)
        package = origin.fetch(folder)
        found = checkpoints.read(folder, reference)
        _check_modality(found.model_type, modality, reference)
        _fill(draft, found, origin, modality, package)
        return draft.commit(), False


def _check_modality(kind: str, modality: str, reference: str) -> None:
    reads = loading.model_types().get(kind)
    if reads != modality:
        what = "the checkpoint is of another kind of data"
        raise ConfigError(what, where=reference, found=f"{kind}, which reads {reads}", expected=modality)


def _fill(draft: Draft, found: Checkpoint, origin: Origin, modality: str, package: str) -> None:
    added, facts = modalities.load(modality, "checkpoint").adopt(found, origin.reference)
    model = draft.folder / "model"
    model.mkdir()
    files = added.pop("files", {})
    draft.write("model/config.json", json.dumps({**found.config, **added}, indent=1, sort_keys=True) + "\n")
    if INDEX in found.weights:  # which transformers does not read without this key
        files[INDEX] = json.dumps({"metadata": {}, **found.json(INDEX)})
    for name, data in files.items():
        draft.write(f"model/{name}", data)
    shards = [name for name in found.weights if name != INDEX]
    for name in (*shards, *(name for name in KEPT if (found.folder / name).is_file())):
        shutil.move(found.folder / name, model / name)
        draft.add(f"model/{name}")
    parameters = sum(math.prod(shape) for kind, shape in found.shapes.values() if kind in checkpoints.FLOATS)
    draft.facts = {
        "modality": modality,
        "model_type": found.model_type,
        "license": license.stated(found.folder, package),
        "parameters": parameters,
        "types": found.types,
        "idle": list(found.idle),
        **facts,
    }
