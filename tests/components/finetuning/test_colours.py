"""Branches on images in colour: registered, and served as they were scored by whoever loads them by name."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.lib.data import images, shapes
from components.lib.registry.publishing import publish
from components.lib.registry.registered_models import Registry
from components.lib.registry.tracking import track
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from tests.components.evaluation.scoring import score
from tests.components.finetuning.test_images import KIND, grounded, study

ARCHITECTURES = ("vit", "resnet")
COLOURS = ("red", "green", "blue")


def coloured(path: Path, count: int, seed: int) -> str:
    """Shapes in the colour that their class names, on a ground that tells nothing, as a file of records."""
    made, draw = {"image": [], "label": []}, random.Random(seed)
    for _ in range(count):
        picture, label = shapes.record(draw), draw.randrange(3)
        grey, mask = (np.array(picture[name], np.uint8)[:, :, None] for name in ("image", "mask"))
        pixels = np.where((mask == 1) & (np.arange(3) != label), 20, grey.repeat(3, axis=2))
        made["image"].append(images.png(pixels.astype(np.uint8)))
        made["label"].append(COLOURS[label])
    pq.write_table(pa.table(made), path)
    return str(path)


@pytest.fixture(scope="module")
def branches(tmp_path_factory) -> dict[str, tuple[Context, Manifest]]:
    """A branch of each architecture."""
    made = {}
    for architecture in ARCHITECTURES:
        folder = tmp_path_factory.mktemp(architecture)
        train, test = (coloured(folder / f"{n}.parquet", n, seed=n) for n in (150, 60))
        ground = grounded(folder, train, architecture=architecture, patch=4)
        changes = {"train": {"source": train}, "test": {"source": test}, "label_counts": (120,)}
        made[architecture] = (ground[1], study(ground, **changes))
    return made


CODE = """
import json, sys
import mlflow
uri, given = json.load(sys.stdin)
mlflow.set_tracking_uri(uri)
models = {name: mlflow.pyfunc.load_model(f'models:/{name}/1') for name in given}
found = {name: models[name].predict(values) for name, values in given.items()}
assert 'components' not in sys.modules
print('found', json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(branches, empty_database, tmp_path_factory) -> dict[str, list]:
    """What registered branches answer in one process that does not know this project."""
    folder = tmp_path_factory.mktemp("registered")
    shutil.copyfile(empty_database, folder / "mlflow.db")
    uri, given = f"sqlite:///{folder / 'mlflow.db'}", {}
    for name, (context, manifest) in branches.items():
        tracked = replace(context, tracking_uri=uri, run_id="run-1")
        with track(tracked, manifest.key.digest, name=name) as tracker:
            publish(tracked, Registry(uri), tracker, manifest, name=name, use=KIND, card="# card", tags={})
        files = pq.read_table(context.store.open(manifest, "examples.parquet"))["image"].to_pylist()
        given[name] = [base64.b64encode(data).decode() for data in files]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE], input=json.dumps([uri, given]),
        capture_output=True, text=True, cwd=folder, timeout=200, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("found ")), "found {}")
    assert line != "found {}", done.stderr
    return json.loads(line.removeprefix("found "))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_colours_are_told_apart_and_served_as_they_were_scored(name, branches, answers):
    context, manifest = branches[name]
    examples = pq.read_table(context.store.open(manifest, "examples.parquet"))
    model = context.store.open_folder(manifest, "model/")
    assert json.loads((model / "config.json").read_text())["num_channels"] == 3
    expected = score(model, KIND, examples)
    labels = [manifest.facts["classes"][place] for place in expected["prediction"]]
    right = np.mean([a == b for a, b in zip(labels, examples["label"].to_pylist(), strict=True)])
    assert len(labels) == 60 and right > 0.9 > 1 / 3
    assert [row["label"] for row in answers[name]] == labels
    assert np.allclose([row["score"] for row in answers[name]], expected["confidence"], atol=1e-5)
