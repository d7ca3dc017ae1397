"""The hinge GAN against its formulas; both players move, each by its own loss."""

import numpy as np
import pytest
import torch

from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.objectives.adversarial import Config, Objective
from tests.components.lib.objectives.images import images, trunk


def draw(count: int = 10) -> Draw:
    return Draw(np.arange(count), np.zeros(count, dtype=np.int64), 3)


def test_values_are_the_hinge_losses():
    samples = images(architecture="vit")
    objective = Objective(Config(latent=8), trunk(samples))
    batch = objective.prepare(samples, draw())
    with torch.no_grad():
        keys = batch.extra["keys"]
        real = objective._judged(batch.pixels())[0].double()
        fake, other = (objective._judged(objective._made(batch, keys[:, k]))[0].double() for k in (0, 1))
        judge, maker = objective(batch, "main"), objective(batch, "generator")
    hinge = sum(max(0.0, 1 - float(r)) for r in real) + sum(max(0.0, 1 + float(f)) for f in fake)
    assert judge.total.item() == pytest.approx(hinge, rel=1e-4)
    assert maker.total.item() == pytest.approx(-other.sum().item(), rel=1e-4, abs=1e-5)


def test_gradients_are_those_of_the_hinge():
    samples = images(architecture="vit")
    objective = Objective(Config(latent=8), trunk(samples))
    batch = objective.prepare(samples, draw())
    objective(batch, "main").total.backward()
    with torch.no_grad():
        (real, features), (fake, made) = (
            objective._judged(pixels)
            for pixels in (batch.pixels(), objective._made(batch, batch.extra["keys"][:, 0]))
        )
    expected = -features[real < 1].sum(0) + made[fake > -1].sum(0)
    torch.testing.assert_close(objective.head.weight.grad[0], expected, atol=1e-4, rtol=1e-3)
    assert all(parameter.grad is None for parameter in objective.generator.parameters())


def test_the_phases_part_the_weights():
    objective = Objective(Config(), trunk(images()))
    phases = objective.phases()
    assert list(phases) == ["main", "generator"]
    owned = [id(parameter) for phase in phases.values() for parameter in phase.parameters]
    assert sorted(owned) == sorted(id(parameter) for parameter in objective.parameters())


def test_statistics_of_the_trunk_are_those_of_images():
    samples = images()
    objective = Objective(Config(), trunk(samples))
    alone = trunk(samples)
    batch = objective.prepare(samples, draw())
    objective(batch, "main")
    objective(batch, "generator")
    alone.read(batch.pixels())
    for name, value in alone.state_dict().items():
        if "running" in name or "tracked" in name:
            torch.testing.assert_close(objective.trunk.state_dict()[name], value)


def test_the_players_play():
    samples = images(count=40)
    objective = Objective(Config(latent=8), trunk(samples))
    model = WeightedSum({"adversarial": objective}, {"adversarial": 1.0})
    plan = Plan(Schedule("cosine", 1e-3, 40, 0.1), quiet=True, report_every=1)
    run = Run(model, samples, Order(40, 20, 0), plan, World(0, 1, torch.device("cpu")))
    before = [p.detach().clone() for p in objective.parameters()]
    history = run.train()
    assert all(not torch.equal(a, b) for a, b in zip(before, objective.parameters(), strict=True))
    assert history[-1]["adversarial/main"] < 0.9 * history[0]["adversarial/main"]
    assert "adversarial/generator" in history[-1]
