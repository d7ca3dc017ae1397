"""Each tower of a trunk of pairs is a trunk of its own modality: its tasks, starts and readers are those."""

import shutil

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from components.finetuning.config import configured
from components.finetuning.run import run
from components.lib import modalities
from components.lib.core.errors import ConfigErrors
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.preflight.plan import resolve
from tests import made

TASKS = {
    "image_classification": ("image", {"image": "image"}),
    "sequence_classification": ("text", {"text": "name"}),
}


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A store with a trunk of pairs, and the manifest by which registration hands it on."""
    folder = tmp_path_factory.mktemp("towers")
    held, tokens = made.tokens("pairs")
    shutil.copytree(held.uri.removeprefix("file://"), folder / "store")
    store = Store(str(folder / "store"))
    with store.draft(Key("pretraining", 1, {}, {"tokens": tokens.reference})) as draft:
        trunk = made.trunk_folder("pairs")
        for path in (path for path in trunk.rglob("*") if path.is_file()):
            draft.write(f"model/{path.relative_to(trunk)}", path.read_bytes())
        draft.facts = {"modality": "pairs", "cpu_seconds": 1.0}
        trunk = draft.commit()
    with store.draft(Key("registration", 1, {}, {"trunk": trunk.reference})) as draft:
        draft.commit().write(folder / "registered.json")
    return store, trunk, folder


@pytest.mark.parametrize("kind", TASKS)
def test_a_task_of_a_part_is_learnt_on_its_tower(kind, registered, tmp_path):
    store, trunk, folder = registered
    part, fields = TASKS[kind]
    splits = {
        name: {"source": made.source("pairs", count, seed), **fields, "label": "label"}
        for name, count, seed in (("train", 40, 2), ("test", 24, 1))
    }
    settings = {"task": "kinds", "modality": part, "kind": kind, "mode": "frozen", "seeds": [0], **splits}
    context = Context(store, stage="finetuning")
    run(
        configured({**settings, "label_counts": [16]}, "x"),
        context,
        registered=folder / "registered.json",
        branch=tmp_path / "b",
    )
    branch = artifacts.read(tmp_path / "b")
    assert branch.facts["modality"] == part and not branch.facts["starts_left_out"]
    assert set(branch.facts["starts"]) == {"trunk", "linear", "random"}
    tower = load_file(store.open(trunk, f"model/{part}/model.safetensors"))
    weights = load_file(store.open(branch, "model/model.safetensors"))
    learnt = {name.removeprefix("trunk."): value for name, value in weights.items()}
    assert all(np.array_equal(value, learnt[name]) for name, value in tower.items() if name in learnt)
    assert set(tower) & set(learnt) and not any(name.startswith(("image.", "text.")) for name in learnt)


def test_preflight_gives_each_task_the_part_that_does_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_PRESETS", str(tmp_path))
    test = {"source": made.source("pairs", 24, 1), "label": "label"}
    tasks = [{"name": kind.replace("_", "-"), "kind": kind, "train": test, "test": test} for kind in TASKS]
    preset = made.preset("pairs")
    preset["tasks"] += tasks
    (tmp_path / "made.yaml").write_text(yaml.safe_dump(preset))
    plan = resolve("made", {})
    found = {task["finetuning"]["kind"]: task["finetuning"]["modality"] for task in plan.tasks}
    own = {kind: "pairs" for kind in found if kind not in TASKS}
    assert found == {**own, **{kind: part for kind, (part, _) in TASKS.items()}} and len(own) >= 2
    assert (
        modalities.reads("image", ("text",)) == "image" and modalities.reads("pairs", ("pairs",)) == "pairs"
    )
    with pytest.raises(ConfigErrors, match="longer than the trunk"):
        resolve("made", {"tasks.sequence-classification.finetuning.max_length": 5000})
    with pytest.raises(ConfigErrors, match="no one place for the class"):
        resolve("made", {"finetuning.prompts": ["a photo"], "tasks": ["zero-shot-classification"]})
