"""BYOL against its formulas; the teacher follows the student, batch norms included, and resumes."""

import math

import numpy as np
import pytest
import torch

from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.objectives.byol import Config, Objective, distance
from components.lib.storage.objects import connect
from tests.components.lib.objectives.images import images, trunk


def draw(count: int = 12) -> Draw:
    return Draw(np.arange(count), np.zeros(count, dtype=np.int64), 3)


def test_value_and_gradient_are_the_formulas():
    torch.manual_seed(0)
    guesses = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(5, 4, dtype=torch.float64)
    expected = sum(
        float(((g / g.norm() - t / t.norm()) ** 2).sum())
        for g, t in zip(guesses.detach(), targets, strict=True)
    )
    total = distance(guesses, targets)
    assert total.item() == pytest.approx(expected, rel=1e-9)
    total.backward()
    for guess, target, gradient in zip(guesses.detach(), targets, guesses.grad, strict=True):
        unit, aim = guess / guess.norm(), target / target.norm()
        by_hand = -2 * (aim - (unit @ aim) * unit) / guess.norm()
        torch.testing.assert_close(gradient, by_hand, atol=1e-6, rtol=1e-5)


def test_the_teacher_is_a_moving_average_with_a_cosine_pace():
    samples = images()
    objective = Objective(Config(momentum=0.9), trunk(samples))
    expected = {name: value.double().clone() for name, value in objective.teacher.state_dict().items()}
    student = torch.nn.ModuleDict({"trunk": objective.trunk, "projector": objective.projector})
    for step in range(6):
        objective(objective.prepare(samples, draw()))  # moves the statistics of the student
        with torch.no_grad():
            for parameter in objective.trunk.parameters():
                parameter.add_(0.01)
        objective.after_step(step, 6)
        pace = 1 - (1 - 0.9) * (math.cos(math.pi * step / 6) + 1) / 2
        for name, value in student.state_dict().items():
            moved = pace * expected[name] + (1 - pace) * value.double()
            expected[name] = moved if value.is_floating_point() else value.double()
    buffers = [name for name in expected if "running" in name]
    assert buffers and all(not torch.equal(expected[n].float(), student.state_dict()[n]) for n in buffers)
    for name, value in objective.teacher.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-5, rtol=1e-5)


def test_the_teacher_has_no_gradient_and_is_in_the_checkpoint(tmp_path):
    def run(steps: int) -> Run:
        samples = images()
        objective = Objective(Config(hidden=16, projection=8), trunk(samples))
        model = WeightedSum({"byol": objective}, {"byol": 1.0})
        plan = Plan(Schedule("cosine", 1e-3, 8, 0.1), quiet=True, checkpoint_every=4)
        checkpoints = Checkpoints(connect(str(tmp_path / f"{steps}")), "run", {})
        return Run(
            model, samples, Order(40, 8, 0), plan, World(0, 1, torch.device("cpu")), checkpoints=checkpoints
        )

    whole = run(0)
    whole.train()
    assert all(parameter.grad is None for parameter in whole.model.terms["byol"].teacher.parameters())
    again = run(0)  # from the checkpoint after the last step
    again.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_does_not_collapse():
    samples = images()
    objective = Objective(Config(hidden=64, projection=16, momentum=0.9), trunk(samples))
    plan = Plan(Schedule("cosine", 1e-3, 60, 0.1), quiet=True, report_every=1)
    model = WeightedSum({"byol": objective}, {"byol": 1.0})
    history = Run(model, samples, Order(40, 40, 0), plan, World(0, 1, torch.device("cpu"))).train()
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["byol/effective_rank"] > 2 and history[-1]["byol/feature_std"] > 0.1
