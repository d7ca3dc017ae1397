"""Dropout masks belong to samples: ranks, micro-batches and recomputation change nothing that is trained."""

import numpy as np
import pytest
import torch
from torch import nn

from components.lib.core import plugins
from components.lib.core.errors import ConfigErrors
from components.lib.core.settings import from_dict
from components.lib.engine import dropout
from components.lib.engine.distributed import ALONE, World
from components.lib.engine.dropout import Dropout, keyed, keys_of
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.text.settings import Pretraining
from tests.components.lib.engine import worlds
from tests.made import in_memory

SHARE = 0.3


def draw(count: int, epoch: int = 0) -> Draw:
    return Draw(np.arange(count), np.full(count, epoch), 5)


def masks(keys: torch.Tensor, *shape: int, calls: int = 1) -> list[torch.Tensor]:
    """What is dropped of ones, call after call."""
    drop = Dropout(SHARE).train()
    with keyed(keys):
        made = [drop(torch.ones(shape)) for _ in range(calls)]
    assert all(set(one.unique().tolist()) == {0.0, made[0].max().item()} for one in made)
    return [one == 0 for one in made]


def test_a_share_is_dropped_and_the_mean_stays():
    with keyed(keys_of(draw(64))):
        kept = Dropout(SHARE).train()(torch.ones(64, 101, 32))
    assert (kept == 0).double().mean().item() == pytest.approx(SHARE, abs=0.005)
    assert kept.double().mean().item() == pytest.approx(1.0, abs=0.005)


def test_samples_epochs_calls_and_places_are_independent():
    first, second = masks(keys_of(draw(200)), 200, 50, 10, calls=2)
    (later,) = masks(keys_of(draw(200, epoch=1)), 200, 50, 10)
    copies = masks(keys_of(draw(200)), 400, 50, 10)[0]  # two views in one batch
    pairs = [(first, second), (first, later), (copies[:200], copies[200:])]
    pairs += [(first[1:], first[:-1]), (first[:, 1:], first[:, :-1]), (first[..., 1:], first[..., :-1])]
    for one, other in pairs:
        both = torch.stack([one.flatten(), other.flatten()]).double()
        assert abs(torch.corrcoef(both)[0, 1].item()) < 0.02


def test_a_mask_depends_on_its_sample_alone():
    keys = keys_of(draw(12))
    whole, some = masks(keys, 12, 7, 5)[0], torch.tensor([7, 2, 9])
    assert torch.equal(masks(keys[some], 3, 7, 5)[0], whole[some])
    assert torch.equal(masks(keys, 12, 9, 5)[0][:, :7], whole)  # however much padding follows


def test_outside_of_training_steps_it_is_torchs():
    ours, theirs = Dropout(SHARE), nn.Dropout(SHARE)
    values = []
    for module in (ours, theirs):
        torch.manual_seed(0)
        values.append(module(torch.ones(50)))
    assert torch.equal(*values) and torch.equal(ours.eval()(torch.ones(50)), torch.ones(50))


CASES = {  # objective, samples; each of them with a micro-batch, unless its loss is over the whole batch
    "bert": ("masked_lm", in_memory.text, {"architecture": "bert"}),
    "modernbert": ("masked_lm", in_memory.text, {"architecture": "modernbert"}),
    "gpt2": ("causal_lm", in_memory.text, {"architecture": "gpt2"}),
    "views of text": ("contrastive", in_memory.text, {"architecture": "modernbert", "unit": "document"}),
    "patches": ("masked_image", in_memory.images, {"architecture": "vit"}),
    "views of images": ("contrastive", in_memory.images, {"architecture": "vit"}),
}
WAYS = {
    "micro-batches": {"micro_batch": 2},
    "recomputed": {"recompute": True},
    "two": {"nproc": 2, "parallel": "ddp"},
    "two, sharded": {"nproc": 2, "parallel": "fsdp", "recompute": True},
}
PAIRS = [(c, w) for c in CASES for w in WAYS if not (c.startswith("views") and w == "micro-batches")]


def fit(world: World, case: str, share: float = SHARE, nproc: int = 1, **options) -> list[float]:
    """The losses and gradient norms of a few steps."""
    name, make, dials = CASES[case]
    samples = make(dropout=share, **dials)
    objective = plugins.load("components.lib.objectives", name)
    torch.manual_seed(0)
    model = WeightedSum({name: objective.Objective(objective.Config(), samples.trunk())}, {name: 1.0})
    plan = Plan(Schedule("wsd", 1e-5, 4, 0.0), quiet=True, report_every=1, **options)
    history = Run(model, samples, Order(len(samples), 16, 0), plan, world).train()
    return [row[key] for row in history for key in ("loss", "gradient_norm")]


def fit_all(world: World) -> dict[tuple[str, str], list[float]]:
    return {(c, w): fit(world, c, **WAYS[w]) for c, w in PAIRS if "nproc" in WAYS[w]}


@pytest.fixture(scope="module")
def of_two():
    return worlds.run(fit_all, 2)[0]


@pytest.fixture(scope="module")
def of_one():
    return {case: fit(ALONE, case) for case in CASES}


@pytest.mark.parametrize(("case", "way"), PAIRS)
def test_how_it_is_computed_changes_nothing(case, way, of_one, of_two):
    found = of_two[case, way] if (case, way) in of_two else fit(ALONE, case, **WAYS[way])
    assert found == pytest.approx(of_one[case], rel=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_it_drops_and_is_not_torchs(case, of_one, monkeypatch):
    """The test before this one would see masks that depend on the batch: they change the loss by more."""
    assert fit(ALONE, case, 0.0) != pytest.approx(of_one[case], rel=1e-3)
    monkeypatch.setattr(dropout, "convert", lambda model: False)
    assert fit(ALONE, case, recompute=True) != pytest.approx(of_one[case], rel=1e-3)


def test_an_architecture_without_dropout_refuses_it():
    with pytest.raises(ConfigErrors, match="llama has no dropout"):
        from_dict(Pretraining, {"architecture": "llama", "dropout": SHARE})
