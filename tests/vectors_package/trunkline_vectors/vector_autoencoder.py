"""Autoencoder of vectors: through the code and back, by layers that mirror the trunk's.

Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 2006.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.models.collapse import SPREAD, spread
from trunkline_vectors.rows import View

NEEDS = ("vectors",)


@dataclass(frozen=True)
class Config:
    """What is seen of a row."""

    noise: float = setting(0.0, "deviation of the noise that is to be taken away", minimum=0.0, maximum=10.0)


class Objective(nn.Module):
    """Trunk and decoder."""

    PARTS = SPREAD

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        widths = [trunk.model.config.inputs, *trunk.model.config.hidden_sizes]
        layers = [(nn.ReLU(), nn.Linear(b, a)) for a, b in reversed(list(pairwise(widths)))]
        self.decoder = nn.Sequential(*(part for layer in layers for part in layer))

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Each row once."""
        view: View = samples.view(draw, "autoencoder", self.config.noise)
        return view

    def forward(self, batch: View) -> Loss:
        """Mean squared error over a row's scaled numbers, summed over rows."""
        code = self.trunk(batch)
        error = (self.decoder(code).float() - batch.rows).square().mean(dim=1).sum()
        return Loss(error, batch.weight, spread(code, batch.weight))
