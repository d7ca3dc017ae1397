"""Rotation: by how many quarter turns an image was turned (Gidaris et al., "RotNet", ICLR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.errors import ConfigError
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.image import pictures
from components.lib.modalities.image.views import View
from components.lib.models.collapse import SPREAD, spread

NEEDS = ("pixels",)


@dataclass(frozen=True)
class Config:
    """No dials."""


class Objective(nn.Module):
    """A linear layer on the pooled features tells the four turns apart."""

    PARTS = ("accuracy", *SPREAD)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        _, height, width = trunk.shape
        if height != width:
            where, found = "pretraining.objective.rotation", f"{height} x {width}"
            raise ConfigError(
                "a turned image has another shape", where=where, found=found, expected="squares"
            )
        self.config, self.trunk = config, trunk
        self.head = nn.Linear(trunk.width, 4)

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Cropped and mirrored images, and the turn of each, another one each epoch."""
        turns = np.floor(draw.uniform("turn")[:, 0] * 4).astype(np.int64)
        view: View = samples.view(draw, "view", samples.strength.geometry())
        return view.plus(turns=torch.from_numpy(turns))

    def forward(self, batch: View) -> Loss:
        """Cross-entropy, summed over images."""
        turns = batch.extra["turns"]
        pooled = self.trunk.pool(self.trunk.read(turned(batch.pixels(), turns)))
        logits = self.head(pooled).float()
        total = nn.functional.cross_entropy(logits, turns, reduction="sum")
        right = (logits.argmax(dim=1) == turns).sum()
        return Loss(total, batch.weight, {"accuracy": right, **spread(pooled, batch.weight)})

    @torch.no_grad()
    def pictures(self, samples: Any, draw: Draw) -> list[pictures.Picture]:
        """Turned images, and the same turned back by what the head says."""
        view = moved(self.prepare(samples, draw), next(self.parameters()).device)
        pixels = turned(view.pixels(), view.extra["turns"])
        found = self.head(self.trunk.pool(self.trunk.read(pixels))).argmax(dim=1)
        rows = [view.frame.plain(row) for row in (pixels, turned(pixels, -found % 4))]
        return [pictures.Picture("Rotation", pictures.grid(rows), "turned, and turned back by the head")]


def turned(pixels: Tensor, turns: Tensor) -> Tensor:
    """Each image by its own number of quarter turns, without asking the device how many there are."""
    made = pixels
    for number in (1, 2, 3):
        made = torch.where((turns == number)[:, None, None, None], pixels.rot90(number, (2, 3)), made)
    return made
