"""Colorization: from a grey image to its colours (Zhang et al., "Colorful image colorization", ECCV 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.errors import ConfigError
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import constant, moved
from components.lib.modalities.image import pictures
from components.lib.modalities.image.augmentation import LUMA
from components.lib.modalities.image.views import View
from components.lib.models.collapse import SPREAD, spread
from components.lib.models.vision import decoders

NEEDS = ("pixels", "maps")
CHANNELS = 3  # of the images
CHROMA = ((0.596, -0.274, -0.322), (0.211, -0.523, 0.312))  # I and Q of the NTSC standard


@dataclass(frozen=True)
class Config:
    """No dials."""


class Objective(nn.Module):
    """The trunk reads luma in all three channels; a decoder draws the two of chroma."""

    PARTS = SPREAD

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        if trunk.shape[0] != CHANNELS:
            where = "pretraining.objective.colorization"
            raise ConfigError("images without colours", where=where, found=trunk.shape[0], expected=CHANNELS)
        self.config, self.trunk = config, trunk
        self.decoder = decoders.of_maps(trunk, 2)

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Cropped and mirrored images."""
        view: View = samples.view(draw, "view", samples.strength.geometry())
        return view

    def forward(self, batch: View) -> Loss:
        """Squared error of chroma in units of a tenth, mean over an image's pixels, summed over images.

        A regression: Zhang et al. predict a distribution over bins, for livelier pictures.
        """
        with torch.no_grad(), torch.autocast(batch.images.device.type, enabled=False):
            plain = batch.plain()
            grey, chroma = split(plain)
        hidden = self.trunk.read(batch.frame.normal(grey.expand_as(plain)))
        drawn = self.decoder(self.trunk.maps(hidden)).float()
        total = (drawn - 10 * chroma).square().flatten(1).mean(dim=1).sum()
        return Loss(total, batch.weight, spread(self.trunk.pool(hidden), batch.weight))

    @torch.no_grad()
    def pictures(self, samples: Any, draw: Draw) -> list[pictures.Picture]:
        """Grey, coloured, and as they are."""
        view = moved(samples.view(draw, "view"), next(self.parameters()).device)
        plain = view.plain()
        grey, _ = split(plain)
        hidden = self.trunk.read(view.frame.normal(grey.expand_as(plain)))
        coloured = joined(grey, self.decoder(self.trunk.maps(hidden)).float() / 10).clamp(0, 1)
        rows = [grey.expand_as(plain), coloured, plain]
        return [pictures.Picture("Colorization", pictures.grid(rows), "grey, coloured, and as they are")]


def split(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 3, H, W) -> luma (n, 1, H, W) and chroma (n, 2, H, W)."""
    values = _table(pixels) @ pixels.flatten(2)
    return values[:, :1].view_as(pixels[:, :1]), values[:, 1:].view_as(pixels[:, 1:])


def joined(grey: Tensor, chroma: Tensor) -> Tensor:
    """The way back."""
    values = torch.cat([grey, chroma], dim=1)
    return (torch.linalg.inv(_table(values)) @ values.flatten(2)).view_as(values)


def _table(like: Tensor) -> Tensor:
    return constant([*LUMA, *CHROMA[0], *CHROMA[1]], like).view(3, 3)
