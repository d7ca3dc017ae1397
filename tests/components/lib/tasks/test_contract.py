"""Every task keeps its contract, on every trunk that offers what it needs, on the CPU and on the card.

The cases are the files of the folder and the entry points, also those that were added a minute ago.
"""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from components.lib import tasks
from components.lib.core import plugins
from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.formats import Record
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.losses import Table
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.engine.transfer import moved
from components.lib.registry.serving import Server
from tests import made
from tests.accelerator import DEVICE, cpu_only

FOLDER = "components.lib.tasks"
NAMES = plugins.names(FOLDER)
CASES = made.branches()
USUAL = [(name, *pair) for name in NAMES for pair in made.usual(tasks.load(name).NEEDS)]
MLFLOW = {"string": str, "double": float, "float": float, "long": int, "integer": int, "boolean": bool}

each = pytest.mark.parametrize(("name", "modality", "architecture"), CASES)


def draw(places) -> Draw:
    return Draw(np.asarray(places), np.zeros(len(places), np.int64), 3)


def plain(outcomes):
    """Outcome columns as lists."""
    return {name: [np.asarray(one).tolist() for one in column] for name, column in outcomes.items()}


def placed(one: made.Branch):
    """The model where stages have it."""
    return one.model.to(DEVICE).eval()


@pytest.mark.parametrize("name", NAMES)
def test_what_it_declares(name):
    says = plugins.declared(FOLDER, name).constants
    assert plugins.declared(FOLDER, name).summary and [case for case in CASES if case[0] == name]
    assert len(says["ROLES"]) > 1 and says["PRIMARY"] in says["METRICS"] and says["FEWEST"] >= 0
    for metric in says["METRICS"].values():
        assert set(metric) == {"better", "low", "high", "title"} and metric["better"] in ("higher", "lower")
    assert re.fullmatch("[a-z]+(-[a-z]+)*", says["USE"])
    assert says["OUTPUTS"] and {kind for _, kind in says["OUTPUTS"]} <= MLFLOW.keys()
    modes = [plugins.declared("components.lib.modes", mode) for mode in plugins.names("components.lib.modes")]
    assert set(says["OFFERS"]) <= {need for mode in modes for need in mode.constants["NEEDS"]}


@each
def test_a_pass_is_a_function_of_examples_and_reaches_the_trunk(name, modality, architecture):
    values = []
    for _ in range(2):
        one = made.branch(name, modality, architecture)
        model = WeightedSum({name: one.plugin.Objective(one.model)}, {name: 1.0}).to(DEVICE)
        prepared = model.prepare(one.samples, draw(range(8)))
        table, batches = Table(model), moved(prepared, DEVICE)
        (loss,) = model(batches)
        loss.total.backward()
        weights = table.weights(prepared)
        assert loss.total.ndim == 0 and weights.tolist() == [loss.weight] and loss.weight > 0
        assert [tuple(loss.parts)] == [entry.parts for entry in table.entries]
        values.append(table.named(table.of([loss], weights.to(DEVICE))))
        reached = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in one.model.parameters()]
        assert np.mean(reached) > 0.85  # a pooler, or a tower, is for other tasks
        torch.optim.AdamW(model.parameters(), 1e-3, fused=True).step()
    assert values[0] == values[1] and np.isfinite([*values[0].values()]).all()


@each
def test_outcomes_are_those_of_each_example(name, modality, architecture):
    """Whatever the batch and its order; they come to the host as arrays, one entry an example."""
    one = made.branch(name, modality, architecture)
    model, many = placed(one), len(one.labels)
    found = plain(one.plugin.outcomes(model, one.samples, one.names, 64))
    assert found and all(len(column) == many for column in found.values())
    turned = one.samples.subset(np.arange(many)[::-1])
    again = plain(one.plugin.outcomes(model, turned, one.names, 5))
    for column, values in again.items():
        for value, expected in zip(values[::-1], found[column], strict=True):
            assert np.allclose(value, expected, atol=1e-5)
    places = np.sort(np.concatenate(one.samples.batches(5)))
    assert places.tolist() == list(range(many)) == list(range(len(one.samples)))


@cpu_only
@each
def test_metrics_weigh_examples_as_repetitions(name, modality, architecture):
    one = made.branch(name, modality, architecture)
    outcomes = one.plugin.outcomes(placed(one), one.samples, one.names)
    counts = np.random.default_rng(1).integers(0, 4, (3, len(one.labels)))
    found = one.plugin.metrics(outcomes, counts, one.names)
    assert set(one.plugin.METRICS) <= set(found)
    if hasattr(one.plugin, "constant"):
        words, same = one.plugin.constant(outcomes, one.names)
        assert words and {name: len(column) for name, column in same.items()} == {
            name: len(column) for name, column in outcomes.items()
        }
        assert np.isfinite(one.plugin.metrics(same, counts, one.names)[one.plugin.PRIMARY]).all()
    for row, repeats in enumerate(counts):
        repeated = {column: np.repeat(values, repeats) for column, values in outcomes.items()}
        expected = one.plugin.metrics(repeated, np.ones((1, repeats.sum())), one.names)
        for metric, values in found.items():
            assert values.shape == (3,)
            assert values[row] == pytest.approx(expected[metric][0], nan_ok=True)
    for metric, says in one.plugin.METRICS.items():
        low, high = (says[end] if says[end] is not None else found[metric] for end in ("low", "high"))
        kept = np.isfinite(found[metric])
        assert ((found[metric] >= low) & (found[metric] <= high))[kept].all()


@each
def test_a_branch_is_kept_scored_and_served_as_it_is(name, modality, architecture, tmp_path):
    """Loaded, it has the same outcomes; the server gives the answers that the task gives."""
    one = made.branch(name, modality, architecture)
    model = placed(one)
    folder = one.save(model, tmp_path / "model")
    loaded = one.plugin.load(folder).to(DEVICE)
    scored = [plain(one.plugin.outcomes(it, one.samples, one.names)) for it in (model, loaded)]
    assert scored[0] == scored[1] and not loaded.training
    answers = one.plugin.answer(model, one.reader, one.inputs)
    assert len(answers) == len(one.labels) and json.dumps(answers)
    for answer in answers:
        assert [(key, type(value)) for key, value in answer.items()] == [
            (key, MLFLOW[kind]) for key, kind in one.plugin.OUTPUTS
        ]
    package = plugins.module("components.lib.modalities", modality)
    options = {"modality": package, "task": plugins.module(FOLDER, name), "inputs": list(one.inputs)}
    context = SimpleNamespace(model_config=options, artifacts={"model": str(folder)})
    server = Server()
    server.load_context(context)
    server.model.to(DEVICE)
    example = made.example(modality)
    if len(one.inputs) == 1:
        (role,) = one.inputs
        expected = one.plugin.answer(model, one.reader, {role: one.reader.served([example] * 2, role)})
        assert server.predict(None, [example] * 2) == expected


@each
def test_classes_that_the_trunk_never_saw_are_scored_and_drawn(name, modality, architecture):
    """As those of a champion that knew fewer; whoever offers pictures draws all of its examples."""
    one = made.branch(name, modality, architecture)
    if len(one.names) < 2:
        return
    torch.manual_seed(0)
    known = one.names[: (len(one.names) + 1) // 2]
    fewer = one.plugin.model(one.trunk.model.config, known).to(DEVICE).eval()
    names = one.plugin.with_unknown(known, one.labels)
    assert names[: len(known)] == known and set(known) < set(names) <= set(one.names)
    samples = one.plugin.encode(one.reader, one.inputs, one.labels, names)
    outcomes = one.plugin.outcomes(fewer, samples, names)
    one.plugin.metrics(outcomes, np.ones((2, len(one.labels))), names)
    if hasattr(one.plugin, "pictures"):
        note, shown = one.plugin.pictures(fewer, one.reader, one.inputs, one.labels)
        assert note and len(shown) == len(one.labels)
        assert all(isinstance(words, str) and images.decode(png).size for png, words in shown)


@cpu_only
@pytest.mark.parametrize(("name", "modality", "architecture"), USUAL)
def test_what_is_no_example_is_refused_by_name(name, modality, architecture):
    """Any value in any role is an example or a DataError, and nothing else."""
    one = made.branch(name, modality, architecture)
    record, fields = made.records(modality, 1)[0], made.fields(name, modality)
    inputs = tasks.inputs_of(one.plugin.ROLES)
    refused = 0
    for role in fields:
        for odd in (None, "", " ", "x", 3, -1, 2.5, [], [None], [["a"]], {}, {"a": 1}, b"", b"\x89PNG"):
            changed = Record({**record, fields[role]: odd}, "made")
            values = {key: changed.fields[field] for key, field in fields.items() if key not in inputs}
            try:
                values |= {key: one.reader.value(changed, fields[key], print, key) for key in inputs}
                found, label = one.plugin.parse(values, tasks.Reading())
                one.reader.identity(found)
                assert list(found) == inputs and one.plugin.classes([label]) is not None
            except DataError as error:
                refused += 1
                assert error.what
    assert refused > len(fields)


@cpu_only
@pytest.mark.parametrize(("name", "modality", "architecture"), USUAL)
def test_learns_its_examples_by_heart(name, modality, architecture):
    one = made.branch(name, modality, architecture)
    if not getattr(one.plugin, "TRAINS", True):
        return
    says, ones = one.plugin.METRICS[one.plugin.PRIMARY], np.ones((1, len(one.labels)))

    def score() -> float:
        outcomes = one.plugin.outcomes(one.model, one.samples, one.names)
        return one.plugin.metrics(outcomes, ones, one.names)[one.plugin.PRIMARY][0]

    if hasattr(one.plugin, "begin"):
        one.plugin.begin(one.model, one.samples)
    before = score()
    one.model.train()
    term = WeightedSum({name: one.plugin.Objective(one.model)}, {name: 1.0})
    plan = Plan(Schedule("linear", 5e-3, 100, 0.1), quiet=True, weight_decay=0.0)
    many = len(one.labels)
    Run(term, one.samples, Order(many, many, 0), plan, World(0, 1, DEVICE)).train()
    gained = score() - before if says["better"] == "higher" else before - score()
    left = says["high"] - before if says["better"] == "higher" else before - says["low"]
    assert gained > 0.75 * left
