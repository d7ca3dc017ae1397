"""The last block at some places is that of `transformers` read there; its FLOPs are what torch counts."""

import copy

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from components.lib.engine.distributed import ALONE
from components.lib.engine.optimization import Schedule
from components.lib.engine.parallel import prepare
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.objectives.masked_lm import Config, Objective
from tests.made.in_memory import text, trunk

PATCHED = ["bert", "modernbert"]


def packed(samples, count: int = 20):
    return samples.view(Draw(np.arange(count), np.zeros(count, np.int64), 0), "window")


def read(trunk, forward, weights=1.0):
    """What is read, and the gradient of the model by name."""
    trunk.model.zero_grad()
    hidden = forward()
    (hidden * weights).sum().backward()
    return hidden.detach(), {n: p.grad for n, p in trunk.model.named_parameters() if p.grad is not None}


def untouched(trunk):
    """The same trunk around a model as `transformers` makes it, without our last block."""
    other = copy.deepcopy(trunk)
    config = copy.deepcopy(trunk.model.config)
    other.model = AutoModel.from_config(config, attn_implementation="sdpa").double()
    other.model.load_state_dict(trunk.model.state_dict())
    return other


@pytest.mark.parametrize("architecture", [*PATCHED, "gpt2", "llama"])
def test_values_and_gradient_are_those_of_the_block_of_transformers(architecture):
    """Also when it is asked for every token. Fails when `transformers` changes what a block computes."""
    samples = text(architecture=architecture, sequence_length=40)
    ours, rows = trunk(samples).double(), packed(samples)
    assert bool(ours.unread) == (architecture in PATCHED)
    theirs = untouched(ours)
    places = rows.places[torch.randperm(rows.real, generator=torch.Generator().manual_seed(0))[:50]]
    weights = torch.randn(50, ours.width, dtype=torch.float64)
    whole, expected = read(theirs, lambda: theirs(rows).flatten(0, 1)[places], weights)
    for forward in (lambda: ours(rows, places), lambda: ours(rows).flatten(0, 1)[places]):
        hidden, found = read(ours, forward, weights)
        torch.testing.assert_close(hidden, whole)
        torch.testing.assert_close(found, expected)


def test_a_copy_computes_with_its_own_weights():
    samples = text(architecture="bert")
    model, rows = trunk(samples), packed(samples)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
        assert other(rows, rows.places[:5]).abs().sum() == 0
        assert model(rows, rows.places[:5]).abs().sum() > 0


@pytest.mark.parametrize("architecture", PATCHED)
def test_recomputed_it_is_the_same(architecture):
    samples = text(architecture=architecture)
    kept, again = trunk(samples), trunk(samples)
    plan = Plan(Schedule("linear", 1e-3, 1, 0.0), recompute=True)
    prepare(WeightedSum({"masked_lm": again}, {"masked_lm": 1.0}), plan, ALONE)
    rows = packed(samples)
    (hidden, expected), (remade, found) = (
        read(one, lambda one=one: one(rows, rows.places[::3])) for one in (kept, again)
    )
    assert torch.equal(remade, hidden)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


@pytest.mark.parametrize("architecture", PATCHED)
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
