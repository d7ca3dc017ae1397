"""Objectives with several optimizers, averages that follow, statistics of the batch: a small game."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from components.lib.core.errors import ConfigError, Interrupted
from components.lib.engine.lars import Lars
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import accumulation
from components.lib.engine.trainable import Loss, Phase, WeightedSum
from tests.components.lib.engine.toys import (
    SAMPLES,
    WIDTH,
    Batch,
    Regression,
    close,
    run,
    samples,
    state,
    stopped,
)

STEPS = 12


class Game(nn.Module):
    """A judge with batch norm against a maker, of which an average follows."""

    PARTS: ClassVar = {"main": ("absolute",), "maker": ()}

    def __init__(self) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Linear(WIDTH, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)
        )
        self.maker = nn.Linear(WIDTH, WIDTH, bias=False)  # batch norm would cancel it
        self.average = nn.Linear(WIDTH, WIDTH, bias=False).requires_grad_(False)
        self.average.load_state_dict(self.maker.state_dict())

    def phases(self) -> dict[str, Phase]:
        return {
            "main": Phase(tuple(self.judge.parameters())),
            "maker": Phase(tuple(self.maker.parameters()), rate=0.5, betas=(0.0, 0.9)),
        }

    def prepare(self, samples, draw) -> Batch:
        return Batch(samples[draw.ids], torch.from_numpy(draw.uniform("noise", WIDTH)).float())

    def forward(self, batch: Batch, phase: str) -> Loss:
        if phase == "maker":
            return Loss(nn.functional.softplus(-self.judge(self.maker(batch.targets))).sum(), batch.weight)
        with torch.no_grad():
            made = self.maker(batch.targets)
        answers = self.judge(torch.cat([batch.inputs, made]))[:, 0]
        real, fake = answers.chunk(2)
        total = nn.functional.softplus(-real).sum() + nn.functional.softplus(fake).sum()
        return Loss(total, batch.weight, {"absolute": answers.abs().sum().detach()})

    def after_step(self, step: int, steps: int) -> None:
        share = 0.05 * (1 + math.cos(math.pi * step / steps)) / 2
        for slow, fast in zip(self.average.parameters(), self.maker.parameters(), strict=True):
            slow.lerp_(fast.detach(), share)


def by_hand() -> nn.Module:
    """The same game as anybody would write it."""
    torch.manual_seed(0)
    one, order, data = Game(), Order(SAMPLES, 8, seed=7), samples()
    schedule = Schedule("cosine", 1e-2, STEPS, 0.1)
    matrices, vectors = ([p for p in one.judge.parameters() if p.ndim == d] for d in (2, 1))
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    judge = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    maker = torch.optim.AdamW(one.maker.parameters(), betas=(0.0, 0.9), weight_decay=0.01)
    for step in range(STEPS):
        batch = one.prepare(data, order.draw(step))
        for name, optimizer, rate in (("main", judge, 1.0), ("maker", maker, 0.5)):
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule.rate(step)
            one.zero_grad()
            (one(batch, name).total / len(batch)).backward()
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        one.after_step(step, STEPS)
    return one


def test_two_phases_are_what_one_would_write_by_hand():
    one = run(STEPS, kind=Game)
    history = one.train()
    close(state(one), {f"terms.term0.{k}": v.tolist() for k, v in by_hand().state_dict().items()}, 1e-6)
    assert {"term0/main", "term0/maker", "term0/main/absolute"} <= history[0].keys()


@pytest.mark.parametrize("optimizer", ["adamw", "lars"])
def test_teachers_statistics_and_moments_resume_to_the_bit(tmp_path, optimizer):
    reference, first, second = (
        run(STEPS, kind=Game, optimizer=optimizer, folder=folder) for folder in ("", tmp_path, tmp_path)
    )
    history = reference.train()
    with pytest.raises(Interrupted):
        stopped(first, 7).train()
    assert second.train() == history and state(second) == state(reference)


def test_a_weight_has_one_phase():
    one = Game()
    one.phases = lambda: {"a": Phase(tuple(one.judge.parameters())), "b": Phase(tuple(one.parameters()))}
    with pytest.raises(ConfigError, match="two phases"):
        WeightedSum({"game": one}, {"game": 1.0}).phases()


def test_a_plain_objective_joins_the_main_phase():
    model = WeightedSum({"game": Game(), "plain": Regression()}, {"game": 1.0, "plain": 1.0})
    phases = model.phases()
    assert list(phases) == ["main", "maker"]
    assert len(phases["main"].parameters) == 5 + 4 and len(phases["maker"].parameters) == 1
    labels = [entry.label for entry in model.entries()]
    assert labels == ["game/main", "plain", "game/maker"]


def test_lars_is_the_formula_of_the_paper():
    generator = np.random.default_rng(1)
    moved = [generator.normal(size=(4, 3)), generator.normal(size=4)]
    ours = [nn.Parameter(torch.from_numpy(array.copy())) for array in moved]
    groups = [
        {"params": [ours[0]], "weight_decay": 0.1, "scaled": True},
        {"params": [ours[1]], "weight_decay": 0.0, "scaled": False},
    ]
    optimizer, slow = Lars(groups, lr=0.5, momentum=0.9), [np.zeros_like(array) for array in moved]
    for _ in range(5):
        gradients = [generator.normal(size=array.shape) for array in moved]
        for parameter, gradient in zip(ours, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        gradients[0] = gradients[0] + 0.1 * moved[0]
        gradients[0] *= 0.001 * np.linalg.norm(moved[0]) / np.linalg.norm(gradients[0])
        slow = [0.9 * old + new for old, new in zip(slow, gradients, strict=True)]
        moved = [old - 0.5 * new for old, new in zip(moved, slow, strict=True)]
    for parameter, array in zip(ours, moved, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), array, rtol=1e-12)


def test_lars_leaves_all_as_it_is_after_a_bad_gradient():
    weight = nn.Parameter(torch.ones(3, 3))
    optimizer = Lars([{"params": [weight]}], lr=0.5)
    weight.grad, optimizer.found_inf = torch.full((3, 3), math.nan), torch.tensor(1.0)
    optimizer.step()
    assert weight.tolist() == [[1.0] * 3] * 3
    assert optimizer.state[weight]["momentum_buffer"].abs().sum() == 0


@pytest.mark.parametrize(
    ("batch", "world", "most", "solved"),
    [(24, 1, 0, (24, 1)), (24, 2, 0, (12, 1)), (24, 2, 5, (4, 3)), (24, 4, 100, (6, 1)), (14, 2, 4, (1, 7))],
)
def test_accumulation_is_solved_again_for_any_world(batch, world, most, solved):
    assert accumulation(batch, world, most) == solved


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ConfigError, match="shared out"):
        accumulation(24, 5, 0)
