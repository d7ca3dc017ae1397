"""The pretraining stage on images: trunk, signs of collapse, pictures; it resumes."""

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
from components.lib.core import failpoints
from components.lib.core.errors import ServiceError
from components.lib.objectives.rotation import Objective
from components.lib.storage import artifacts
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config
from components.pretraining.run import run
from tests import made

CONFIG = Config(
    modality="image",
    trunk=made.trunk_settings("image", "cnn"),
    objective={"byol": {"hidden": 32}, "rotation": {"weight": 0.5}, "adversarial": {"latent": 8}},
    steps=12,
    global_batch=16,
    checkpoint_every=4,
    evaluate_every=6,
    threads=1,
)
TITLES = ["Views", "Map", "Nearest neighbours", "Generated", "Rotation"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


def train(folder: Path, name: str, config: Config = CONFIG) -> tuple[Context, artifacts.Manifest]:
    """Runs the stage in a store of its own, which holds the tokens."""
    held, tokens = made.tokens("image")
    store = Store(str(folder / name))
    if not (folder / name).exists():
        shutil.copytree(held.uri.removeprefix("file://"), folder / name)
    tokens.write(folder / "tokens.json")
    context, path = Context(store, stage="pretraining"), folder / f"{name}.json"
    run(config, context, tokens=folder / "tokens.json", trunk=path)
    return context, artifacts.read(path)


def titles(context: Context, manifest: artifacts.Manifest) -> list[str]:
    """Of the pictures, each of which is a PNG that shows something."""
    entries = json.loads(context.store.open(manifest, "pictures/pictures.json").read_text())
    for entry in entries:
        with Image.open(io.BytesIO(context.store.open(manifest, entry["file"]).read_bytes())) as picture:
            assert min(picture.size) >= 56 and len(np.unique(np.asarray(picture))) > 10
    return [entry["title"] for entry in entries]


def test_a_trunk_with_history_and_pictures(folder, capfd):
    context, manifest = train(folder, "whole")
    assert " images/s " in capfd.readouterr().err
    assert manifest.facts["architecture"] == "small_cnn"
    trunk = modalities.load("image", "trunk").load(context.store.open_folder(manifest, "model/"))
    assert trunk.shape == (3, 16, 16)
    lines = context.store.open(manifest, "history.jsonl").read_text().splitlines()
    names = {name for line in lines for name in json.loads(line)}
    assert {"byol/effective_rank", "rotation/accuracy", "adversarial/main"} <= names
    assert "validation/byol/alignment" in names
    assert titles(context, manifest) == TITLES and context.notices == []


def test_a_failed_run_resumes_to_the_same_bytes(folder, tmp_path, monkeypatch):
    """Teacher, batch statistics and both players: it fails after the sixth step, two after a checkpoint."""
    context, manifest = train(folder, "whole")
    monkeypatch.setenv(failpoints.VARIABLE, str(tmp_path))
    failpoints._reached.clear()
    (tmp_path / "training.step").write_text("fail at=6")
    with pytest.raises(ServiceError, match="asked for"):
        train(folder, "failed")
    monkeypatch.delenv(failpoints.VARIABLE)
    assert list((folder / "failed" / "checkpoints").rglob("*.commit.json"))
    again, resumed = train(folder, "failed")
    ours, theirs = (
        load_file(c.store.open(m, "model/model.safetensors"))
        for c, m in ((context, manifest), (again, resumed))
    )
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert resumed.digest == manifest.digest


def test_pictures_that_fail_cost_themselves_and_are_told(folder, monkeypatch, capfd):
    """The trunk is committed whole, with the pictures of the others; whoever reuses it hears of it too."""
    _, whole = train(folder, "whole")
    monkeypatch.setattr(Objective, "pictures", lambda self, samples, draw: samples.view(draw, "v").to("cpu"))
    context, manifest = train(folder, "drawn", replace(CONFIG, seed=0))
    assert titles(context, manifest) == [title for title in TITLES if title != "Rotation"]
    (notice,) = context.notices
    assert "pictures of rotation could not be drawn" in notice and "no attribute 'to'" in notice
    assert "no attribute 'to'" in capfd.readouterr().err
    assert manifest.file("model/model.safetensors") == whole.file("model/model.safetensors")
    assert train(folder, "drawn")[0].notices == [notice]


def test_a_trunk_without_a_picture_is_whole(folder, monkeypatch):
    def fail(self, *arguments):
        raise MemoryError("no room")

    monkeypatch.setattr(Objective, "pictures", fail)
    monkeypatch.setattr(modalities.load("image", "samples").Images, "pictures", fail)
    context, manifest = train(folder, "blank", replace(CONFIG, objective={"rotation": {}}, steps=2))
    assert manifest.names("pictures/") == [] and len(context.notices) == 2
    assert not (folder / "blank" / "checkpoints").exists() or not list(
        (folder / "blank" / "checkpoints").rglob("*.json")
    )
