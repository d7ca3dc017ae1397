"""Small models that are quick to train, with all that the engine must handle, and runs of them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.errors import Interrupted
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import ALONE, World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import HeldOut, Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss, WeightedSum
from components.lib.storage.objects import connect

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
    """Two layers with dropout; the inputs carry noise that is a function of the sample and epoch.

    Args:
        broken: samples whose targets are multiplied by `factor`: NaN, or huge.
    """

    PARTS = ("absolute",)

    def __init__(
        self, dropout: float = 0.0, broken: tuple[int, ...] = (), factor: float = float("nan")
    ) -> None:
        super().__init__()
        self.broken, self.factor = broken, factor
        self.net = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))

    def prepare(self, samples: Tensor, draw: Draw) -> Batch:
        noise = torch.from_numpy(draw.uniform("noise", WIDTH)).float()
        targets = samples[draw.ids].sum(dim=1)
        targets[np.isin(draw.ids, self.broken)] *= self.factor
        return Batch(samples[draw.ids] + 0.1 * noise, targets)

    def forward(self, batch: Batch) -> Loss:
        error = self.net(batch.inputs)[:, 0] - batch.targets.nan_to_num()
        total = error.square().sum() + 0 * batch.targets.sum()  # a loss may be NaN where its gradient is not
        return Loss(total, batch.weight, {"absolute": error.abs().sum()})


def samples() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(SAMPLES, WIDTH))).float()


def run(
    steps: int = 20,
    *,
    world: World = ALONE,
    terms: int = 1,
    batch: int = 8,
    kind: type[nn.Module] = Regression,
    model: dict | None = None,
    folder: Path | str = "",
    **options,
) -> Run:
    """A run of `terms` models of a kind, made with the options `model`, and their checkpoints in `folder`."""
    torch.manual_seed(0)
    names = [f"term{number}" for number in range(terms)]
    coefficients = {name: 1.0 + number for number, name in enumerate(names)}
    whole = WeightedSum({name: kind(**(model or {})) for name in names}, coefficients)
    given = {field.name: options.pop(field.name) for field in fields(Plan) if field.name in options}
    plan = Plan(Schedule("cosine", 1e-2, steps, 0.1), quiet=True, **{"report_every": 3, **given})
    if folder:
        options["checkpoints"] = checkpoints(folder, world)
    if kind is Regression:
        held_out = Draw(np.arange(10), np.zeros(10, dtype=np.int64), 0, training=False)
        options["held_out"] = HeldOut(samples(), (held_out,))
    return Run(whole, samples(), Order(SAMPLES, batch, seed=7), plan, world, **options)


def checkpoints(folder: Path | str, world: World = ALONE, **identity) -> Checkpoints:
    return Checkpoints(connect(str(folder)), "checkpoints/toy", {"name": "toy", **identity}, world=world)


def stopped(one: Run, step: int) -> Run:
    """The run, which is told to stop while it takes step `step` (from 1)."""
    take = one._take
    one._take = lambda batches, stop: take(batches, stop or one.step + 1 == step)
    return one


def train_until(one: Run, met: Callable[[], bool], every: int = 10) -> None:
    """Trains until `met()`, which is asked every so many steps, or to the last step."""
    take = one._take

    def asked(batches, stop):
        return take(batches, stop or (one.step > 0 and one.step % every == 0 and met()))

    one._take = asked
    with suppress(Interrupted):
        one.train()


def state(one: Run) -> dict[str, list]:
    return {name: tensor.tolist() for name, tensor in one.model.state_dict().items()}


def close(ours: dict, theirs: dict, tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, rtol=0, err_msg=name)
