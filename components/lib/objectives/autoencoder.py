"""Autoencoder: an image through a narrow code and back.

Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 2006; sparse
codes: Ng, "Sparse autoencoder", 2011; decorrelation: Cogswell et al., "DeCov", ICLR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.distributed import all_gather
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.image import pictures
from components.lib.modalities.image.views import View
from components.lib.models.collapse import SPREAD, spread
from components.lib.models.vision import decoders

NEEDS = ("pixels",)
WHOLE_BATCH = True  # the covariance of the code is the batch's


@dataclass(frozen=True)
class Config:
    """What the code is held to, besides being enough to draw the image."""

    sparsity: float = setting(0.0, "times the mean size of the code's values", minimum=0.0)
    decorrelation: float = setting(0.0, "times half the squared covariances of the code", minimum=0.0)


class Objective(nn.Module):
    """The pooled features are the code; the decoder mirrors a fully connected trunk, and else unfolds it."""

    PARTS = ("error", "sparsity", "decorrelation", *SPREAD)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        self.decoder = decoders.of_code(trunk)

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Cropped and mirrored images."""
        view: View = samples.view(draw, "view", samples.strength.geometry())
        return view

    def forward(self, batch: View) -> Loss:
        """Mean squared error over an image's normalised pixels and the regularisers, summed over images."""
        pixels = batch.pixels()
        code = self.trunk.pool(self.trunk.read(pixels))
        error = (self.decoder(code).float() - pixels).square().flatten(1).mean(dim=1).sum()
        sparsity = code.float().abs().mean(dim=1).sum()
        decorrelation = len(code) * covariance(all_gather(code.float()) if self.training else code.float())
        total = error + self.config.sparsity * sparsity + self.config.decorrelation * decorrelation
        parts = {"error": error, "sparsity": sparsity, "decorrelation": decorrelation}
        parts = {name: value.detach() for name, value in parts.items()}
        return Loss(total, batch.weight, {**parts, **spread(code, batch.weight)})

    @torch.no_grad()
    def pictures(self, samples: Any, draw: Draw) -> list[pictures.Picture]:
        """Images above what became of them."""
        view = moved(samples.view(draw, "view"), next(self.parameters()).device)
        drawn = self.decoder(self.trunk.pool(self.trunk(view)))
        rows = [view.plain(), view.frame.plain(drawn)]
        return [pictures.Picture("Reconstructions", pictures.grid(rows), "above: images, below: decoded")]


def covariance(code: Tensor) -> Tensor:
    """Half the sum of the squared covariances of different coordinates (equation 1 of DeCov)."""
    centred = code - code.mean(dim=0)
    table = centred.T @ centred / len(code)
    return 0.5 * (table.square().sum() - table.diagonal().square().sum())
