"""Every file in the folder of objectives keeps the contract, also one that was added a minute ago."""

import numpy as np
import pytest
import torch

from components.lib.core import plugins
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss, WeightedSum
from tests.components.lib.objectives import images, texts

FOLDER = "components.lib.objectives"
OBJECTIVES = plugins.names(FOLDER)
CASES = [
    (name, kind) for name in OBJECTIVES for kind in plugins.declared(FOLDER, name).constants["MODALITIES"]
]


def build(name: str, modality: str, **dials):
    """Samples, trunk and objective, with the trunk that the objective asks for unless `dials` name one."""
    module = plugins.load(FOLDER, name)
    if modality == "text":
        causal, whole = getattr(module, "CAUSAL", False), getattr(module, "WHOLE_BATCH", False)
        samples = texts.text(
            architecture="gpt2" if causal else "modernbert", unit="document" if whole else "chunk", **dials
        )
    else:
        architecture = getattr(module, "ARCHITECTURES", ("cnn",))[0]
        samples = images.images(
            channels=getattr(module, "CHANNELS", 1), **{"architecture": architecture, **dials}
        )
    trunk = (texts if modality == "text" else images).trunk(samples)
    return samples, trunk, module.Objective(module.Config(), trunk)


def of(objective, batch) -> list[Loss]:
    """The losses of all phases."""
    model = WeightedSum({"it": objective}, {"it": 1.0})
    return [loss for phase in model.phases() for loss in model([batch], phase)]


def draw(count: int = 12, training: bool = True) -> Draw:
    return Draw(np.arange(count), np.zeros(count, dtype=np.int64), 3, training)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_declares_what_preflight_needs(name):
    declared = plugins.declared(FOLDER, name)
    assert declared.summary and declared.config is not None
    assert set(declared.constants["MODALITIES"]) <= set(plugins.names("components.lib.modalities"))


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_the_gradient_reaches_every_weight_of_the_trunk(name, modality):
    samples, model, objective = build(name, modality)
    losses = of(objective, objective.prepare(samples, draw()))
    assert all(loss.total.ndim == 0 and loss.weight > 0 for loss in losses)
    torch.stack([loss.total for loss in losses]).sum().backward()
    unused = {"pooler.dense.weight", "pooler.dense.bias"}
    still = [
        name
        for name, p in model.model.named_parameters()
        if name not in unused and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
    assert still == []


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_the_loss_is_a_function_of_samples_and_seed(name, modality):
    values = []
    for _ in range(2):
        samples, _, objective = build(name, modality)
        losses = of(objective, objective.prepare(samples, draw()))
        values.append([(one.total.item(), one.weight, *map(float, one.parts.values())) for one in losses])
    assert values[0] == values[1]
    several = isinstance(objective.PARTS, dict)
    parts = list(objective.PARTS.values()) if several else [objective.PARTS]
    assert [tuple(loss.parts) for loss in losses] == parts


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_the_weight_is_known_before_the_forward_pass(name, modality):
    samples, _, objective = build(name, modality)
    batch = objective.prepare(samples, draw())
    assert all(loss.weight == batch.weight for loss in of(objective, batch))


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_bf16_is_near_fp32(name, modality):
    samples, _, objective = build(name, modality)
    batch = objective.prepare(samples, draw())
    exact = of(objective, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = of(objective, batch)
    torch.stack([loss.total for loss in rough]).sum().backward()
    for one, other in zip(exact, rough, strict=True):
        assert other.total.dtype == torch.float32
        assert other.total.item() == pytest.approx(one.total.item(), rel=0.1, abs=0.1 * one.weight)


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_learns_a_batch_by_heart(name, modality):
    samples, _, objective = build(name, modality)
    model = WeightedSum({name: objective}, {name: 1.0})
    plan = Plan(Schedule("wsd", 3e-3, 80, 0.1), weight_decay=0.0, quiet=True, report_every=1)
    order = Order(8, 8, seed=0)
    history = Run(model, samples, order, plan, World(0, 1, torch.device("cpu"))).train()
    start, end = history[0]["loss"], np.mean([row["loss"] for row in history[-5:]])
    assert end < 0.75 * start
