"""Denoising: from an image with noise to the clean one (Vincent et al., ICML 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine import device_noise
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.image import pictures
from components.lib.modalities.image.views import View
from components.lib.models.collapse import SPREAD, spread
from components.lib.models.vision import decoders

NEEDS = ("pixels", "maps")


@dataclass(frozen=True)
class Config:
    """How noisy images are."""

    noise: float = setting(1.0, "deviation, where the corpus has 1", minimum=0.01, maximum=10.0)


class Objective(nn.Module):
    """A decoder of the features place by place."""

    PARTS = SPREAD

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        self.decoder = decoders.of_maps(trunk, trunk.shape[0])

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Cropped and mirrored images, and the key of each one's noise."""
        keys = np.floor(draw.uniform("noise")[:, 0] * 2.0**31).astype(np.int64)
        view: View = samples.view(draw, "view", samples.strength.geometry())
        return view.plus(keys=torch.from_numpy(keys))

    def forward(self, batch: View) -> Loss:
        """Mean squared error over an image's normalised pixels, summed over images."""
        pixels = batch.pixels()
        hidden = self.trunk.read(self._noisy(pixels, batch.extra["keys"]))
        clean = self.decoder(self.trunk.maps(hidden)).float()
        total = (clean - pixels).square().flatten(1).mean(dim=1).sum()
        return Loss(total, batch.weight, spread(self.trunk.pool(hidden), batch.weight))

    @torch.no_grad()
    def pictures(self, samples: Any, draw: Draw) -> list[pictures.Picture]:
        """Images with noise above what was made of them."""
        view = moved(self.prepare(samples, draw), next(self.parameters()).device)
        noisy = self._noisy(view.pixels(), view.extra["keys"])
        clean = self.decoder(self.trunk.maps(self.trunk.read(noisy)))
        rows = [view.frame.plain(row) for row in (noisy, clean, view.pixels())]
        return [pictures.Picture("Denoising", pictures.grid(rows), "with noise, cleaned, and as they were")]

    def _noisy(self, pixels: Tensor, keys: Tensor) -> Tensor:
        return pixels + self.config.noise * device_noise.gaussian(keys, pixels[0].numel()).view_as(pixels)
