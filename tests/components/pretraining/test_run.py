"""The pretraining stage: trunk, signs of collapse, pictures; it is made once, resumes, goes on from another.

What kills and hangs do to it is in tests/faults.
"""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from components.lib import modalities
from components.lib.core import failpoints, patience
from components.lib.core.errors import ConfigError, ServiceError
from components.lib.objectives.rotation import Objective
from components.lib.storage import artifacts
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config
from components.pretraining.run import run
from tests import made

TEXT = Config(
    trunk={**made.trunk_settings("text", "modernbert"), "unit": "document", "dropout": 0.1},
    objective={"contrastive": {"projection": 16}, "masked_lm": {"weight": 0.5}},
    steps=2,
    global_batch=16,
    threads=1,
)
IMAGE = Config(
    modality="image",
    trunk=made.trunk_settings("image", "cnn"),
    objective={"byol": {"hidden": 32}, "rotation": {"weight": 0.5}, "adversarial": {"latent": 8}},
    steps=12,
    global_batch=16,
    checkpoint_every=4,
    evaluate_every=6,
    threads=1,
)
WORDS = Config(
    trunk={**made.trunk_settings("text", "static"), "unit": "document", "views": "cut"},
    objective={"contrastive": {"projection": 0}},
    start="spectral",
    steps=12,
    global_batch=16,
    checkpoint_every=4,
    threads=1,
)
PAIRS = Config(
    modality="pairs",
    trunk={**made.trunk_settings("pairs"), "text": {"architecture": "bert", "size": "nano", "dropout": 0.1}},
    objective={"clip": {}},
    steps=12,
    global_batch=16,
    checkpoint_every=4,
    threads=1,
)
TITLES = ["Views", "Map", "Nearest neighbours", "Generated", "Rotation"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


def train(folder: Path, name: str, config: Config) -> tuple[Context, artifacts.Manifest]:
    """Runs the stage in a store of its own, which holds the tokens and what was trained there before."""
    held, tokens = made.tokens(config.modality)
    if not (folder / name).exists():
        shutil.copytree(held.uri.removeprefix("file://"), folder / name)
    tokens.write(folder / "tokens.json")
    context, path = Context(Store(str(folder / name)), stage="pretraining"), folder / f"{name}.json"
    run(config, context, tokens=folder / "tokens.json", trunk=path)
    return context, artifacts.read(path)


def weights(context: Context, manifest: artifacts.Manifest) -> dict[str, np.ndarray]:
    return load_file(context.store.open(manifest, "model/model.safetensors"))


def titles(context: Context, manifest: artifacts.Manifest) -> list[str]:
    """Of the pictures, each of which is a PNG that shows something."""
    entries = json.loads(context.store.open(manifest, "pictures/pictures.json").read_text())
    for entry in entries:
        with Image.open(io.BytesIO(context.store.open(manifest, entry["file"]).read_bytes())) as picture:
            assert min(picture.size) >= 56 and len(np.unique(np.asarray(picture))) > 10
    return [entry["title"] for entry in entries]


def test_the_same_is_made_once_on_however_many_processes(tmp_path):
    first, made_first = train(tmp_path, "store", TEXT)
    second, made_second = train(tmp_path, "store", replace(TEXT, nproc=2))
    assert made_first == made_second
    assert [one.outputs[0]["reused"] for one in (first, second)] == [False, True]


def test_a_trunk_starts_from_another(tmp_path):
    """Its weights are those of the other one, as a training that does not move them shows."""
    context, first = train(tmp_path, "store", TEXT)
    still = replace(TEXT, steps=1, learning_rate=0.0, start=first.reference)
    _, second = train(tmp_path, "store", still)
    assert second.key.inputs["start"] == first.reference
    before, after = weights(context, first), weights(context, second)
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)
    with pytest.raises(ConfigError, match="longer than the trunk"):
        train(tmp_path, "store", replace(still, trunk={**TEXT.trunk, "sequence_length": 1024}))
    _, same = train(
        tmp_path, "store", replace(TEXT, replay=0.1)
    )  # with nothing to start from it says nothing
    assert same.key.digest == first.key.digest and "start" not in first.key.config


def test_a_trunk_with_history_and_pictures(folder, capfd):
    context, manifest = train(folder, "whole", IMAGE)
    assert " images/s " in capfd.readouterr().err
    assert manifest.facts["architecture"] == "small_cnn"
    trunk = modalities.load("image", "trunk").load(context.store.open_folder(manifest, "model/"))
    assert trunk.shape == (3, 16, 16)
    lines = context.store.open(manifest, "history.jsonl").read_text().splitlines()
    names = {name for line in lines for name in json.loads(line)}
    assert {"byol/effective_rank", "rotation/accuracy", "adversarial/main"} <= names
    assert "validation/byol/alignment" in names
    assert titles(context, manifest) == TITLES and context.notices == []


def test_a_spectral_start_is_no_trunk_that_came_before(folder):
    """It counts as a setting of the training, not as an input."""
    _, spectral = train(folder, "words", WORDS)
    _, random = train(folder, "words", replace(WORDS, start=""))
    assert spectral.key.digest != random.key.digest
    assert spectral.key.inputs == random.key.inputs and spectral.facts["loss"] != random.facts["loss"]


@pytest.mark.parametrize(
    ("whole", "failed", "config"),
    [("whole", "failed", IMAGE), ("words", "cut", WORDS), ("pairs", "torn", PAIRS)],
)
def test_a_failed_run_resumes_to_the_same_bytes(whole, failed, config, folder, tmp_path, monkeypatch):
    """Teacher, batch statistics and both players: it fails after the tenth step, two after a checkpoint."""
    expected = train(folder, whole, config)
    monkeypatch.setenv(failpoints.VARIABLE, str(tmp_path))
    monkeypatch.setenv(patience.VARIABLE, "0")  # else the stage tries again by itself
    failpoints._reached.clear()
    (tmp_path / "training.step").write_text("fail at=10")
    with pytest.raises(ServiceError, match="asked for"):
        train(folder, failed, config)
    monkeypatch.delenv(failpoints.VARIABLE)
    assert list((folder / failed / "checkpoints").rglob("*.commit.json"))
    resumed = train(folder, failed, config)
    ours, theirs = weights(*expected), weights(*resumed)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert resumed[1].digest == expected[1].digest


def test_pictures_that_fail_cost_themselves_and_are_told(folder, monkeypatch, capfd):
    """The trunk is committed whole, with the pictures of the others; whoever reuses it hears of it too."""
    _, whole = train(folder, "whole", IMAGE)
    monkeypatch.setattr(Objective, "pictures", lambda self, samples, draw: samples.view(draw, "v").to("cpu"))
    context, manifest = train(folder, "drawn", IMAGE)
    assert titles(context, manifest) == [title for title in TITLES if title != "Rotation"]
    (notice,) = context.notices
    assert "pictures of rotation could not be drawn" in notice and "no attribute 'to'" in notice
    assert "no attribute 'to'" in capfd.readouterr().err
    assert manifest.file("model/model.safetensors") == whole.file("model/model.safetensors")
    assert train(folder, "drawn", IMAGE)[0].notices == [notice]
    monkeypatch.setattr(modalities.load("image", "samples").Images, "pictures", Objective.pictures)
    context, manifest = train(folder, "blank", replace(IMAGE, objective={"rotation": {}}, steps=2))
    assert manifest.names("pictures/") == [] and len(context.notices) == 2
