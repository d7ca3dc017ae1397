"""Bootstrap your own latent: predict what a slow copy of the network makes of another view.

Grill et al., "BYOL", NeurIPS 2020. No negatives: what keeps features apart are the predictor and batch norm.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.normalization import frozen_running_statistics
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.views import Views
from components.lib.models.collapse import PARTS, signs

NEEDS = ("views",)
WHOLE_BATCH = True  # batch norm sees the whole batch


@dataclass(frozen=True)
class Config:
    """The teacher's pace and the two heads."""

    momentum: float = setting(0.99, "of the teacher at the start; 1 at the end", minimum=0.0, maximum=1.0)
    hidden: int = setting(512, "width of the hidden layer of both heads", minimum=2)
    projection: int = setting(128, "width of what is predicted", minimum=2)


class Objective(nn.Module):
    """Student (trunk, projector, predictor) and teacher (trunk, projector), the student's moving average."""

    PARTS = PARTS

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        self.projector = _head(trunk.width, config.hidden, config.projection)
        self.predictor = _head(config.projection, config.hidden, config.projection)
        student = nn.ModuleDict({"trunk": trunk, "projector": self.projector})
        self.teacher: nn.ModuleDict = copy.deepcopy(student)
        self.teacher.requires_grad_(False)

    def prepare(self, samples: Any, draw: Draw) -> Views:
        """Two independent views of each sample."""
        first, second = samples.views(draw, 2)
        return Views(first, second, torch.from_numpy(draw.ids), passes=4 / 3)  # the teacher goes forward only

    def forward(self, batch: Views) -> Loss:
        """Squared distance of unit vectors, prediction to target, summed over the views."""
        views = (batch.first, batch.second)
        pooled = [self.trunk.pool(self.trunk(view), view) for view in views]
        guesses = [self.predictor(self.projector(one)) for one in pooled]
        trunk: Any = self.teacher["trunk"]
        with torch.no_grad(), frozen_running_statistics(self.teacher):
            targets = [self.teacher["projector"](trunk.pool(trunk(view), view)) for view in views]
        total = distance(guesses[0].float(), targets[1].float())
        total = total + distance(guesses[1].float(), targets[0].float())
        return Loss(total, batch.weight, signs(pooled[0], pooled[1], batch.weight))

    @torch.no_grad()
    def after_step(self, step: int, steps: int) -> None:
        """Moves the teacher: weights and statistics of batch norms alike."""
        share = (1 - self.config.momentum) * (math.cos(math.pi * step / steps) + 1) / 2
        student = {**_state("trunk", self.trunk), **_state("projector", self.projector)}
        for name, slow in self.teacher.state_dict(keep_vars=True).items():
            if slow.is_floating_point():
                slow.lerp_(student[name].detach(), share)
            else:
                slow.copy_(student[name])


def distance(guesses: Tensor, targets: Tensor) -> Tensor:
    """2 - 2 cos, summed over rows (equation 2 of the paper)."""
    return (2 - 2 * nn.functional.cosine_similarity(guesses, targets, dim=1)).sum()


def _head(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out)
    )


def _state(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict(keep_vars=True).items()}
