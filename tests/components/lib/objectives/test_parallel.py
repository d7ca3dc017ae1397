"""One process, two that hold the model whole and two that cut it: for every objective the same training."""

import numpy as np
import pytest
from torch.distributed.tensor import DTensor

from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.engine.distributed import ALONE, World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import WeightedSum
from tests.components.lib.engine import worlds
from tests.components.lib.objectives.test_contract import CASES, FOLDER, build

STEPS = {"text": 50, "image": 6}  # convolutions of a few images are slow
WAYS = ("ddp", "fsdp")


def fit(
    world: World, name: str, modality: str, parallel: str = "ddp", options: dict | None = None, **dials
) -> tuple[list[float], np.ndarray]:
    """The losses, and the gradient of the first step as AdamW's first moment of it.

    The rate is low: where a gradient is all rounding, AdamW still moves by the whole rate, anywhere.
    """
    samples, trunk, objective = build(name, modality, **dials)
    if options:
        module = plugins.load(FOLDER, name)
        objective = module.Objective(from_dict(module.Config, options), trunk)
    model = WeightedSum({name: objective}, {name: 1.0})
    plan = Plan(
        Schedule("wsd", 1e-5, STEPS[modality], 0.0), quiet=True, report_every=1, clip=1e9, parallel=parallel
    )
    run = Run(model, samples, Order(len(samples), 8, 0), plan, world)
    take, gradient = run._take, []

    def first(*arguments):
        stop = take(*arguments)
        if not gradient:
            gradient.extend(_moments(run))
        return stop

    run._take = first
    history = run.train()
    return [row["loss"] for row in history], np.concatenate(gradient)


def _moments(run: Run) -> list[np.ndarray]:
    found = {}
    names = {parameter: name for name, parameter in run.model.named_parameters()}
    for optimizer in run.engine.optimizers.values():
        for parameter, state in optimizer.state.items():
            moment = state["exp_avg"] / (1 - optimizer.param_groups[0]["betas"][0])
            moment = moment.full_tensor() if isinstance(moment, DTensor) else moment
            found[names[parameter]] = moment.flatten().numpy().copy()
    return [found[name] for name in sorted(found)]


def fit_all(world: World) -> dict:
    return {(*case, way): fit(world, *case, way) for case in CASES for way in WAYS}


@pytest.fixture(scope="module")
def of_two():
    return worlds.run(fit_all, 2)[0]


@pytest.fixture(scope="module")
def of_one():
    return {case: fit(ALONE, *case) for case in CASES}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "modality"), CASES)
def test_the_world_changes_neither_loss_nor_gradient(name, modality, way, of_one, of_two):
    same(of_one[name, modality], of_two[name, modality, way])


def same(one: tuple[list[float], np.ndarray], two: tuple[list[float], np.ndarray]) -> None:
    """Cosine and ratio of the gradients are 1, and the losses agree."""
    (losses, gradient), (their_losses, theirs) = one, two
    cosine = gradient @ theirs / (np.linalg.norm(gradient) * np.linalg.norm(theirs))
    assert cosine == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(theirs) / np.linalg.norm(gradient) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(their_losses, losses, rtol=1e-6, atol=1e-6)
