"""A small regression problem: quick to train, with all that the engine must handle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import HeldOut, Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss, WeightedSum

SAMPLES, WIDTH = 50, 6


@dataclass(frozen=True)
class Batch:
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def weight(self) -> float:
        return float(len(self.inputs))


class Regression(nn.Module):
    """Two layers with dropout; the inputs carry noise that is a function of the sample and epoch."""

    PARTS = ("absolute",)

    def __init__(self, dropout: float = 0.0, poison: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.poison = poison
        self.net = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))

    def prepare(self, samples: Tensor, draw: Draw) -> Batch:
        noise = torch.from_numpy(draw.uniform("noise", WIDTH)).float()
        inputs = samples[draw.ids] + 0.1 * noise
        if self.poison:
            inputs[np.isin(draw.ids, self.poison)] = float("nan")
        return Batch(inputs, samples[draw.ids].sum(dim=1))

    def forward(self, batch: Batch) -> Loss:
        error = self.net(batch.inputs)[:, 0] - batch.targets
        return Loss(error.square().sum(), batch.weight, {"absolute": error.abs().sum()})


def run(
    steps: int = 20, *, world: World | None = None, terms: int = 1, batch: int = 8, model=None, **options
) -> Run:
    torch.manual_seed(0)
    names = [f"term{number}" for number in range(terms)]
    dropout = options.pop("dropout", 0.0)
    model = model or WeightedSum(
        {name: Regression(dropout) for name in names},
        {name: 1.0 + number for number, name in enumerate(names)},
    )
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=(SAMPLES, WIDTH))).float()
    held_out = HeldOut(samples, (Draw(np.arange(10), np.zeros(10, dtype=np.int64), 0, training=False),))
    plan_options = {
        name: options.pop(name)
        for name in (
            "micro_batch",
            "checkpoint_every",
            "evaluate_every",
            "report_every",
            "bad_steps",
            "spike",
        )
        if name in options
    }
    plan = Plan(Schedule("cosine", 1e-2, steps, 0.1), quiet=True, **{"report_every": 3, **plan_options})
    world = world or World(0, 1, torch.device("cpu"))
    order = Order(SAMPLES, batch, seed=7)
    return Run(model, samples, order, plan, world, held_out=held_out, **options)
