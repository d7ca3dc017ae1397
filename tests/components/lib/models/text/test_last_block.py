"""The last block at some places is the whole block read there; its FLOPs are what torch counts."""

import copy

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from components.lib.engine.distributed import ALONE
from components.lib.engine.optimization import Schedule
from components.lib.engine.parallel import prepare
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.objectives.masked_lm import Config, Objective
from tests.components.lib.objectives.texts import text, trunk

ARCHITECTURES = ["bert", "modernbert", "gpt2", "llama"]


def packed(samples, count: int = 20):
    return samples.view(Draw(np.arange(count), np.zeros(count, np.int64), 0), "window")


def read(model, rows, places, weights, narrow: bool):
    model.zero_grad()
    hidden = model(rows, places) if narrow else model(rows).flatten(0, 1)[places]
    (hidden * weights).sum().backward()
    return hidden.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_values_and_gradient_are_those_of_the_whole_block(architecture):
    samples = text(architecture=architecture, sequence_length=40)
    model, rows = trunk(samples).double(), packed(samples)
    places = rows.places[torch.randperm(rows.real, generator=torch.Generator().manual_seed(0))[:50]]
    weights = torch.randn(50, model.width, dtype=torch.float64)
    (whole, expected), (narrow, found) = (read(model, rows, places, weights, n) for n in (False, True))
    torch.testing.assert_close(narrow, whole)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_a_copy_computes_with_its_own_weights():
    samples = text(architecture="bert")
    model, rows = trunk(samples), packed(samples)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
        assert other(rows, rows.places[:5]).abs().sum() == 0
        assert model(rows, rows.places[:5]).abs().sum() > 0


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_recomputed_it_is_the_same(architecture):
    samples = text(architecture=architecture)
    kept, again = trunk(samples), trunk(samples)
    plan = Plan(Schedule("linear", 1e-3, 1, 0.0), recompute=True)
    prepare(WeightedSum({"masked_lm": again}, {"masked_lm": 1.0}), plan, ALONE)
    rows = packed(samples)
    (hidden, expected), (remade, found) = (
        read(model, rows, rows.places[::3], 1.0, True) for model in (kept, again)
    )
    assert torch.equal(remade, hidden)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_flops_are_those_that_torch_counts(architecture):
    samples = text(architecture=architecture, sequence_length=24, unit="document")
    samples.length[:] = 22  # rows of one segment, so that none is spent on what does not see each other
    objective = Objective(Config(), trunk(samples))
    long = np.flatnonzero(samples.shards.lengths >= 22)[:16]
    batch = objective.prepare(samples, Draw(long, np.zeros(len(long), np.int64), 0))
    assert batch.packed.whole
    with FlopCounterMode(display=False) as counter:
        objective(batch).total.backward()
    assert batch.flops == pytest.approx(counter.get_total_flops(), rel=1e-3)
