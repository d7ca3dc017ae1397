"""Compressed variants of a branch are outputs of their own, scored and timed beside it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.evaluation import variants
from components.lib import compressions, tasks
from components.lib.core.errors import ConfigErrors
from components.lib.core.settings import from_dict
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.components.evaluation import branches
from tests.components.evaluation.scoring import score
from tests.components.evaluation.test_run import Config, evaluate
from tests.pages import read

KIND = "sequence_classification"


def test_a_variant_is_scored_on_the_same_examples_or_says_why_there_is_none(tmp_path, capsys):
    store = Store(str(tmp_path / "store"))
    context, branch = Context(store), branches.commit(store, KIND)
    plain, _ = evaluate(context, branch, tmp_path / "a")
    assert "variants" not in plain.facts
    made, _ = evaluate(context, branch, tmp_path / "b", compress=("onnx", "distilled"))
    onnx, distilled = (made.facts["variants"][name] for name in ("onnx", "distilled"))
    variant = store.resolve(onnx["reference"])
    assert variant.key.inputs == {"branch": branch.reference} and variant.key.stage == variants.STAGE
    assert made.key.inputs["variant.onnx"] == variant.reference
    assert onnx["agreement"] == 1.0 and onnx["metrics"]["accuracy"] == made.facts["metrics"]["accuracy"]
    gap = onnx["difference"]["accuracy"]
    assert gap["value"] == 0 and gap["low"] < 0 < gap["high"], "no interval is narrower than unseen examples"
    assert distilled["left_out"] == "there are no training records to learn from"
    assert "the variant 'distilled' is left out: there are no" in capsys.readouterr().out
    took = made.measured["variants"]
    assert set(took) == {"full", "onnx"} and all(one["p99"] >= one["p50"] > 0 for one in took.values())
    page = read((tmp_path / "b" / "card.html").read_text())
    assert "Compressed variants" in page.text and "distilled was left out" in page.text
    again, _ = evaluate(context, branch, tmp_path / "c", compress=("onnx", "distilled"))
    assert again.reference == made.reference
    folder, task = store.open_folder(variant, "model/"), tasks.load(KIND)
    assert compressions.settings(folder)["libraries"].keys() == {"onnxruntime"}
    examples = pq.read_table(store.open(branch, "examples.parquet"))
    scored = score(folder, KIND, examples)
    assert (
        scored["prediction"] == score(store.open_folder(branch, "model/"), KIND, examples)["prediction"]
    ).all()
    assert task.metrics(scored, np.ones((1, len(examples))), branches.CLASSES)["accuracy"][
        0
    ] == pytest.approx(onnx["metrics"]["accuracy"]["value"], abs=1e-6)


def test_a_package_that_is_missing_leaves_the_variant_out(tmp_path, monkeypatch):
    monkeypatch.setattr(compressions, "lacking", lambda says: ["onnxruntime"] * bool(says["LIBRARIES"]))
    store = Store(str(tmp_path / "store"))
    made, _ = evaluate(Context(store), branches.commit(store, KIND), tmp_path / "a", compress=("int8",))
    assert "onnxruntime is not installed: a laptop gets it by" in made.facts["variants"]["int8"]["left_out"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"compress": ["int9"]}, "did you mean 'int8'?"),
        ({"compress": ["int8"], "compress_options": {"int8": {"reduce": 1}}}, "reduced"),
        ({"compress_options": {"int8": {}}}, "name it in evaluation.compress"),
        ({"compress": ["distilled"], "compress_options": {"distilled": {"steps": 0}}}, ">= 1"),
    ],
)
def test_wrong_settings_are_told_before_work_starts(settings, said):
    with pytest.raises(ConfigErrors) as caught:
        from_dict(Config, {"model": "m", **settings}, "evaluation")
    assert said in str(caught.value) and json.dumps([error.to_dict() for error in caught.value.errors])
