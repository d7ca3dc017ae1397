"""One process, two that hold the model whole and two that cut it: for every objective the same training."""

import numpy as np
import pytest
from torch.distributed.tensor import DTensor

from components.lib.engine.distributed import ALONE, World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import WeightedSum
from tests.components.lib.engine import worlds
from tests.components.lib.objectives.test_contract import USUAL, build, build_on

WAYS, STEPS = ("ddp", "fsdp"), 4
OPTIONS = {  # that change how the samples of a batch meet
    "triplet": ("contrastive", "image", "vit", {"loss": "triplet"}),
    "circle": ("contrastive", "image", "vit", {"loss": "circle"}),
    "words": ("contrastive", "text", "static", {"projection": 0}),
    "regularised": ("autoencoder", "image", "cnn", {"sparsity": 0.1, "decorrelation": 0.5}),
    "plain patches": ("masked_image", "image", "vit", {"normalised": False}),
    "sigmoid": ("clip", "pairs", "", {"loss": "sigmoid"}),
    "one pass": ("masked_lm next_sentence", "text", "bert", {}),
    "order": ("next_sentence", "text", "modernbert", {"kind": "sentence_order"}),
}
CASES = {"-".join(case[:2]): (*case, {}) for case in USUAL}
ALL = [
    *((case, way) for case in CASES for way in WAYS),
    *((case, "ddp") for case in OPTIONS),
    ("words", "fsdp"),
    ("one pass", "fsdp"),
]


def fit(world: World, case: str, parallel: str = "ddp") -> tuple[list[float], np.ndarray]:
    """The losses, and the gradient of the first step as AdamW's first moment of it.

    The rate is low: where a gradient is all rounding, AdamW still moves by the whole rate, anywhere.
    """
    names, modality, architecture, options = {**CASES, **OPTIONS}[case]
    leader, *others = names.split()
    samples, trunk, objective = build(leader, modality, architecture, options)
    terms = {leader: objective, **{name: build_on(trunk, name, {}) for name in others}}
    model = WeightedSum(terms, dict.fromkeys(terms, 1.0))
    plan = Plan(Schedule("wsd", 1e-5, STEPS, 0.0), quiet=True, report_every=1, clip=1e9, parallel=parallel)
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
    return {(case, way): fit(world, case, way) for case, way in ALL}


@pytest.fixture(scope="module")
def of_two():
    return worlds.run(fit_all, 2)[0]


@pytest.fixture(scope="module")
def of_one():
    return {case: fit(ALONE, case) for case in {**CASES, **OPTIONS}}


@pytest.mark.parametrize(("case", "way"), ALL)
def test_the_world_changes_neither_loss_nor_gradient(case, way, of_one, of_two):
    """Cosine and ratio of the gradients are 1, and the losses agree."""
    (losses, gradient), (their_losses, theirs) = of_one[case], of_two[case, way]
    cosine = gradient @ theirs / (np.linalg.norm(gradient) * np.linalg.norm(theirs))
    assert cosine == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(theirs) / np.linalg.norm(gradient) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(their_losses, losses, rtol=1e-6, atol=1e-6)
