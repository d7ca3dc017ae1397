"""A study on images: a probe that leaves the trunk alone, a branch that is served as it was scored."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from components.finetuning.config import configured
from components.finetuning.run import run
from components.ingestion.config import configured as ingestion
from components.ingestion.run import run as ingest
from components.lib.core.errors import ConfigError, ConfigErrors, DataError, MissingError
from components.lib.data import images
from components.lib.modalities.image import samples as modality
from components.lib.modalities.image.canvas import Canvas
from components.lib.modalities.image.settings import Pretraining
from components.lib.models import classifiers
from components.lib.models.branch import load_trunk
from components.lib.registry.mlflow_model import Use, write
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.lib.tasks import image_classification as task
from components.preflight.plan import resolve
from components.tokenization.config import configured as tokenization
from components.tokenization.run import run as tokenize
from tests.components.evaluation.scoring import score


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> tuple[Path, Context]:
    return grounded(tmp_path_factory.mktemp("ground"), "sample:shapes/test")


def grounded(folder: Path, source: str, **dials) -> tuple[Path, Context]:
    """Images at 16 x 16, and a trunk with random weights whose batch norms have seen them."""
    context = Context(Store(str(folder / "store")), stage="finetuning", task="shapes")
    settings = {"modality": "image", "sources": [source], "workers": 1}
    ingest(ingestion(settings), context, corpus=folder / "corpus.json", card=folder / "card.html")
    size = {"modality": "image", "height": 16, "width": 16}
    tokens = tokenize(
        tokenization(size), context, corpus=folder / "corpus.json", tokens=folder / "tokens.json"
    )
    torch.manual_seed(0)
    samples = modality.open_split(Pretraining(size="nano", **dials), context.store, tokens, "train")
    trunk = samples.trunk()
    with context.store.draft(Key("pretraining", 1, {}, {"tokens": tokens.reference})) as draft:
        (draft.folder / "model").mkdir()
        trunk.save(draft.folder / "model")
        Canvas.open(context.store.open_folder(tokens, "tokenizer/")).save(draft.folder / "model")
        for path in sorted((draft.folder / "model").iterdir()):
            draft.add(f"model/{path.name}")
        draft.facts = {"modality": "image"}
        made = draft.commit()
    Manifest(Key("registration", 1, {}, {"trunk": made.reference}), "", ()).write(folder / "registered.json")
    return folder, context


FIXED = {
    "task": "shapes",
    "modality": "image",
    "train": {"source": "sample:shapes/train"},
    "test": {"source": "sample:shapes/test", "share": 0.5},
    "label_counts": (240,),
    "seeds": (0,),
    "starts": ("trunk",),
    "steps": 60,
    "learning_rates": (5e-3,),
}


def study(ground, name: str = "branch", **changes) -> Manifest:
    folder, context = ground
    config = configured({**FIXED, **changes}, "tasks.shapes.finetuning")
    run(config, context, registered=folder / "registered.json", branch=folder / f"{name}.json")
    return artifacts.read(folder / f"{name}.json")


@pytest.fixture(scope="module")
def branch(ground) -> Manifest:
    return study(ground)


def accuracy(ground, manifest: Manifest) -> float:
    outcomes = pq.read_table(ground[1].store.open(manifest, "outcomes.parquet")).to_pandas()
    return float((outcomes["label"] == outcomes["prediction"]).mean())


def test_the_branch_learns_and_is_what_it_says_it_is(ground, branch):
    store = ground[1].store
    examples = pq.read_table(store.open(branch, "examples.parquet"))
    outcomes = pq.read_table(store.open(branch, "outcomes.parquet")).to_pandas()
    assert 120 < len(examples) < 180 and branch.facts["counts"]["test"] == len(examples)
    scored = score(store.open_folder(branch, "model/"), KIND, examples)
    assert scored["prediction"].tolist() == outcomes["prediction"].tolist()
    assert np.allclose(scored["confidence"], outcomes["confidence"], atol=1e-6)
    assert accuracy(ground, branch) > 0.5 > 2 / 6


def test_a_frozen_probe_moves_the_head_alone(ground):
    manifest = study(ground, "frozen", mode="frozen")
    store = ground[1].store
    trunk = store.resolve(manifest.key.inputs["trunk"])
    before = load_trunk(store.open_folder(trunk, "model/"))
    after = task.load(store.open_folder(manifest, "model/"))
    assert classifiers.fingerprint(after.base_model) == classifiers.fingerprint(before)
    partial = study(ground, "partial", mode="partial", layers=1)
    part = task.load(store.open_folder(partial, "model/")).base_model
    assert classifiers.fingerprint(part.blocks[2]) == classifiers.fingerprint(before.blocks[2])
    assert classifiers.fingerprint(part.blocks[3]) != classifiers.fingerprint(before.blocks[3])


def test_images_of_the_test_set_are_not_trained_on(ground):
    leaky = {"source": "sample:shapes/test"}
    manifest = study(ground, "leaky", train=leaky, label_counts=(10,), steps=1)
    assert manifest.facts["counts"]["train_also_in_test"] == manifest.facts["counts"]["test"]


KIND, SHAPES = "image_classification", "sample:shapes/train"
BAD = {
    "field": ({"train": {"source": SHAPES, "image": "picture"}}, MissingError, "known: image"),
    "broken": ({"train": {"source": SHAPES, "image": "label"}}, DataError, "cannot be used"),
    "modality": ({"modality": "text", "kind": KIND}, ConfigError, "another kind of data"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_images_are_told_before_training(ground, name):
    changes, kind, says = BAD[name]
    with pytest.raises(kind) as caught:
        study(ground, "bad", **changes)
    assert says in str(caught.value)


def write_model(store: Store, branch: Manifest, target: Path) -> None:
    model = store.open_folder(branch, "model/")
    digests = {f.name.removeprefix("model/"): f.sha256 for f in branch.files if f.name.startswith("model/")}
    use = Use.of(branch.facts["kind"], "image")
    write(model, digests, target, use=use, model_id="m-1", run_id="", readme="")


CODE = """
import json, sys, mlflow
given = json.load(sys.stdin)
found = {name: mlflow.pyfunc.load_model(name).predict(values) for name, values in given.items()}
assert 'components' not in sys.modules
print('found', json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(ground, branch, tmp_path_factory) -> dict[str, tuple[Manifest, list]]:
    """Branches of every kind, and what they answer in one process that does not know this project."""
    store, folder = ground[1].store, tmp_path_factory.mktemp("served")
    made = {"full": branch, "knn": study(ground, "served-knn", mode="knn")}
    for kind, label in (("segmentation", "mask"), ("detection", "objects")):
        train, test = (
            {"source": f"sample:shapes/{split}", "label": label, "share": 0.2} for split in ("train", "test")
        )
        made[kind] = study(ground, kind, kind=kind, label_counts=(40,), train=train, test=test)
    given = {}
    for name, manifest in made.items():
        write_model(store, manifest, folder / name)
        files = pq.read_table(store.open(manifest, "examples.parquet"))["image"].to_pylist()[:40]
        given[name] = [base64.b64encode(data).decode() for data in files]
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, cwd=folder, check=False
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("found ")), done.stderr)
    found = json.loads(line.removeprefix("found "))
    return {name: (manifest, found[name]) for name, manifest in made.items()}


@pytest.mark.parametrize("mode", ["full", "knn"])
def test_classes_are_served_as_they_were_scored(ground, answers, mode):
    store, (manifest, found) = ground[1].store, answers[mode]
    examples = pq.read_table(store.open(manifest, "examples.parquet")).slice(0, 40)
    expected = score(store.open_folder(manifest, "model/"), KIND, examples)
    assert [row["label"] for row in found] == [manifest.facts["classes"][i] for i in expected["prediction"]]
    assert np.allclose([row["score"] for row in found], expected["confidence"], atol=1e-6)


def test_boxes_are_served_as_they_were_scored(ground, answers):
    manifest, found = answers["detection"]
    outcomes = pq.read_table(ground[1].store.open(manifest, "outcomes.parquet")).slice(0, 40).to_pydict()
    objects = [json.loads(row["objects"]) for row in found]
    assert [len(one) for one in objects] == outcomes["found"] and sum(outcomes["found"]) > 40
    scores = [[one["score"] for one in row] for row in objects]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(scores, outcomes["score"], strict=True))


def test_masks_are_served_as_they_were_scored(ground, answers):
    store, (manifest, found) = ground[1].store, answers["segmentation"]
    examples = pq.read_table(store.open(manifest, "examples.parquet")).slice(0, 40)
    outcomes = pq.read_table(store.open(manifest, "outcomes.parquet")).slice(0, 40).to_pydict()
    masks = [images.decode(base64.b64decode(row["mask"])) for row in found]
    real = [images.decode(mask) for mask in examples["label"].to_pylist()]
    assert [int(((a == 1) & (b == 1)).sum()) for a, b in zip(masks, real, strict=True)] == outcomes["both/1"]


def test_the_nearest_labelled_images_vote_and_nothing_is_trained(ground):
    manifest = study(ground, "knn", mode="knn", starts=("trunk", "random"), label_counts=(3, 240))
    store = ground[1].store
    assert manifest.facts["mode"] == "knn" and manifest.facts["steps"] == 0
    assert store.open(manifest, "history.jsonl").read_text() == ""
    trunk = load_trunk(store.open_folder(store.resolve(manifest.key.inputs["trunk"]), "model/"))
    after = task.load(store.open_folder(manifest, "model/"))
    assert classifiers.fingerprint(after.base_model) == classifiers.fingerprint(trunk)
    assert after.bank.shape[0] == 240
    with pytest.raises(ConfigErrors, match="offers vote"):
        resolve("image-smoke", {"tasks.masks.finetuning": {"mode": "knn"}})


def test_outcomes_do_not_depend_on_the_batch(ground, branch):
    store = ground[1].store
    examples = pq.read_table(store.open(branch, "examples.parquet")).slice(0, 7)
    one, all_ = (score(store.open_folder(branch, "model/"), KIND, examples, size) for size in (1, 64))
    assert np.allclose(one["confidence"], all_["confidence"], atol=1e-6)
