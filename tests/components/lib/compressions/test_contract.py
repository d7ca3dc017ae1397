"""Every compression on every task: a model that scores and answers as the branch does, or a reason."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from components.lib import compressions
from components.lib.compressions import FILE, Full, Records, distilled
from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import WeightedSum
from components.lib.models.inference import device
from tests import made

FOLDER = "components.lib.compressions"
NAMES = plugins.names(FOLDER)
QUICK = [("onnx", "image_classification", "image", "mlp"), ("int8", "image_classification", "image", "cnn")]
SCORED = [  # what both graphs are known for; of other branches a reason is enough
    *[("sequence_classification", "text", name) for name in ("bert", "modernbert", "gpt2", "llama")],
    *[("image_classification", "image", name) for name in ("cnn", "resnet", "vit", "mlp")],
    *[(name, "text", "bert") for name in ("token_classification", "question_answering")],
]


def full(task: str, modality: str, architecture: str, folder: Path) -> Full:
    one = made.branch(task, modality, architecture)
    if remember := getattr(one.plugin, "remember", None):
        remember(one.model, one.samples)
    there = one.save(one.model, folder / "full")
    records = Records(one.inputs, one.labels)
    return Full(one.plugin, there, one.plugin.load(there), one.reader, one.names, records, records)


def compressed(name: str, branch: Full, folder: Path, **options) -> tuple[object, str]:
    """The model, or why there is none."""
    plugin, there = plugins.load(FOLDER, name), folder / name
    there.mkdir(parents=True)
    branch.reader.save(there)
    if why := plugin.make(branch, from_dict(plugin.Config, options), there):
        return None, why
    (there / FILE).write_text(json.dumps({"name": name}))
    return compressions.load(branch.task, there), ""


def plain(columns) -> dict[str, list]:
    """All numbers of each column, whatever their shape in an example."""
    return {
        name: np.concatenate([np.asarray(value, float).ravel() for value in column]).tolist()
        for name, column in columns.items()
    }


def check(name: str, case: tuple[str, str, str], folder: Path) -> str:
    """Asserts what holds of every compression; returns the reason if there is no model."""
    branch = full(*case, folder)
    options = {"steps": 2, "batch": 8} if name == "distilled" else {}
    model, why = compressed(name, branch, folder, **options)
    if why:
        assert "\n" not in why and len(why) > 10
        return why
    samples = branch.encode(branch.seen)
    found, expected = (
        plain(branch.task.outcomes(one, samples, branch.names)) for one in (model, branch.model)
    )
    assert found.keys() == expected.keys()
    answers = branch.task.answer(model, branch.reader, branch.seen.inputs)
    assert len(answers) == len(branch.seen) and json.dumps(answers)
    if name == "onnx":
        for column, values in found.items():
            np.testing.assert_allclose(values, expected[column], atol=1e-3, err_msg=column)
    suffixes = {path.suffix for path in (folder / name).rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".onnx", ".safetensors", ".txt"}, "nothing is pickled"
    return ""


@pytest.mark.parametrize(("name", "task", "modality", "architecture"), QUICK)
def test_a_graph_answers_as_its_network(name, task, modality, architecture, tmp_path):
    assert check(name, (task, modality, architecture), tmp_path) == ""


@pytest.mark.long
@pytest.mark.parametrize("case", made.branches(), ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_compression_of_every_branch_answers_or_says_why_not(name, case, tmp_path):
    why = check(name, case, tmp_path)
    assert not why or name == "distilled" or case not in SCORED, why


def test_a_student_has_half_the_layers_and_comes_to_answer_as_its_teacher(tmp_path):
    """It begins at layers of the teacher; the error on its training records falls to a fraction."""
    branch = full("image_classification", "image", "vit", tmp_path)
    student = distilled.halved(branch.model, 0)
    assert student.config.num_hidden_layers == branch.model.config.num_hidden_layers // 2 == 1
    kept = {name: value for name, value in student.state_dict().items() if ".layers.0." in name}
    assert kept and all((value == branch.model.state_dict()[name]).all() for name, value in kept.items())
    term = distilled.Distillation(branch.task, student, branch.model)
    samples, plan = (
        branch.encode(branch.learnt),
        Plan(Schedule("linear", 1e-2, 80, 0.1), report_every=1, quiet=True),
    )
    order = Order(len(samples), 12, 0)
    rows = Run(
        WeightedSum({"distilled": term}, {"distilled": 1.0}), samples, order, plan, World(0, 1, device())
    ).train()
    assert term.learnt and rows[-1]["loss"] < 0.25 * rows[0]["loss"]


def test_reasons(tmp_path):
    branch = full("sequence_classification", "text", "bert", tmp_path)
    assert compressed("distilled", branch, tmp_path / "a")[1] == "its network has one layer"
    none = dataclasses.replace(branch, learnt=Records({"text": []}, []))
    assert compressed("distilled", none, tmp_path / "b")[1] == "there are no training records to learn from"
    static = full("sequence_classification", "text", "static", tmp_path / "c")
    why = compressed("onnx", static, tmp_path / "d")[1]
    assert why.startswith("torch's exporter to ONNX fails on this network: ") and "searchsorted" in why
    assert not (tmp_path / "d" / "onnx" / "graph").exists()
    assert compressions.lacking({"LIBRARIES": ("json",), "TOOLS": ("no_such_tool",)}) == ["no_such_tool"]
