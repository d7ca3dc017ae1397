"""The pretraining stage on images: trunk, signs of collapse, pictures; it resumes."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from components.lib.core import failpoints
from components.lib.core.errors import ServiceError
from components.lib.modalities.image import samples
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config
from components.pretraining.run import run
from tests.components.lib.objectives.images import coloured

CONFIG = Config(
    modality="image",
    trunk={"architecture": "cnn", "size": "nano", "crop": 0.5, "flip": 0.0},
    objective={"byol": {"hidden": 32}, "rotation": {"weight": 0.5}, "adversarial": {"latent": 8}},
    steps=12,
    global_batch=16,
    checkpoint_every=4,
    evaluate_every=6,
    threads=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    """A manifest as the tokenization stage writes it."""
    folder = tmp_path_factory.mktemp("pixels")
    pixels = coloured(140)
    store = Store(str(folder / "store"))
    with store.draft(Key("tokenization", 1, {"size": 16}, {})) as draft:
        for split, part in (("train", pixels[:100]), ("validation", pixels[100:])):
            np.save(draft.folder / f"{split}-00000.npy", part)
            draft.add(f"{split}-00000.npy", len(part))
        draft.write("tokenizer/preprocessor_config.json", "{}")
        shares = pixels[:100].reshape(-1, 3) / 255
        draft.facts = {"modality": "image", "height": 16, "width": 16, "channels": 3,
                       "mean": shares.mean(0).tolist(), "std": shares.std(0).tolist()}  # fmt: skip
        manifest = draft.commit()
    manifest.write(folder / "tokens.json")
    return folder


def train(tokens: Path, name: str) -> tuple[Store, artifacts.Manifest]:
    """Runs the stage in a store of its own, which holds the tokens."""
    target = tokens / name
    if not target.exists():
        shutil.copytree(tokens / "store", target)
    store = Store(str(target))
    run(
        CONFIG,
        Context(store, stage="pretraining"),
        tokens=tokens / "tokens.json",
        trunk=tokens / f"{name}.json",
    )
    return store, artifacts.read(tokens / f"{name}.json")


def test_a_trunk_with_history_and_pictures(tokens, capfd):
    store, manifest = train(tokens, "whole")
    assert " images/s " in capfd.readouterr().err
    assert manifest.facts["architecture"] == "small_cnn"
    trunk = samples.load(store.open_folder(manifest, "model/"))
    assert trunk.shape == (3, 16, 16)
    rows = [json.loads(line) for line in store.open(manifest, "history.jsonl").read_text().splitlines()]
    for name in (
        "byol/effective_rank",
        "rotation/accuracy",
        "adversarial/main",
        "validation/byol/alignment",
    ):
        assert any(name in row for row in rows), name
    entries = json.loads(store.open(manifest, "pictures/pictures.json").read_text())
    titles = [entry["title"] for entry in entries]
    assert titles == ["Views", "Map", "Nearest neighbours", "Generated", "Rotation"]
    for entry in entries:
        with Image.open(io.BytesIO(store.open(manifest, entry["file"]).read_bytes())) as picture:
            assert min(picture.size) >= 56 and len(np.unique(np.asarray(picture))) > 10


def test_a_failed_run_resumes_to_the_same_bytes(tokens, tmp_path, monkeypatch):
    """Teacher, batch statistics and both players: it fails after the sixth step, two after a checkpoint."""
    store, manifest = train(tokens, "whole")
    monkeypatch.setenv(failpoints.VARIABLE, str(tmp_path))
    failpoints._reached.clear()
    (tmp_path / "training.step").write_text("fail at=6")
    with pytest.raises(ServiceError, match="asked for"):
        train(tokens, "failed")
    monkeypatch.delenv(failpoints.VARIABLE)
    assert list((tokens / "failed" / "checkpoints").rglob("*.commit.json"))
    again, resumed = train(tokens, "failed")
    ours, theirs = (
        load_file(s.open(m, "model/model.safetensors")) for s, m in ((store, manifest), (again, resumed))
    )
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert resumed.digest == manifest.digest
