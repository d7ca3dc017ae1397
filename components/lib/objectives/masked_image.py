"""Masked images: draw the patches that were hidden (He et al., "Masked autoencoders", CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.image import pictures
from components.lib.modalities.image.views import View
from components.lib.models.collapse import SPREAD, spread

NEEDS = ("pixels", "patches")


@dataclass(frozen=True)
class Config:
    """How much is hidden, and the decoder."""

    ratio: float = setting(0.75, "share of the patches that are hidden", minimum=0.05, maximum=0.95)
    normalised: bool = setting(True, "each patch is drawn relative to its own mean and deviation")
    width: int = setting(128, "of the decoder; heads are 32 wide", minimum=32)
    layers: int = setting(1, "of the decoder", minimum=1, maximum=12)


class Objective(nn.Module):
    """The encoder reads the visible patches only; a small transformer draws the others from them."""

    PARTS = SPREAD

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        self.patch = int(trunk.model.config.patch_size)
        channels, height, width = trunk.shape
        self.count = (height // self.patch) * (width // self.patch)
        self.visible = max(1, round(self.count * (1 - config.ratio)))
        self.enter = nn.Linear(trunk.width, config.width)
        self.missing = nn.Parameter(torch.zeros(config.width))
        self.places = nn.Parameter(0.02 * torch.randn(self.count, config.width))
        layer = nn.TransformerEncoderLayer(
            config.width, config.width // 32, 4 * config.width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.leave = nn.Sequential(
            nn.LayerNorm(config.width), nn.Linear(config.width, channels * self.patch**2)
        )

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Cropped and mirrored images, and the order of each one's patches: the hidden ones last."""
        order = np.argsort(draw.uniform("hide", self.count), axis=1, kind="stable")
        view: View = samples.view(draw, "view", samples.strength.geometry())
        return view.plus(order=torch.from_numpy(order))

    def forward(self, batch: View) -> Loss:
        """Mean squared error over the hidden patches of an image, summed over images."""
        pixels, order = batch.pixels(), batch.extra["order"]
        drawn, hidden = self._drawn(pixels, order)
        targets = self.patches(pixels)
        if self.config.normalised:
            targets = normalised(targets)
        chosen = order[:, self.visible :]
        error = (_taken(drawn.float(), chosen) - _taken(targets, chosen)).square().mean(dim=(1, 2))
        return Loss(error.sum(), batch.weight, spread(hidden.mean(dim=1), batch.weight))

    def patches(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, patches, C * side * side)."""
        side = self.patch
        return nn.functional.unfold(pixels, side, stride=side).transpose(1, 2)

    @torch.no_grad()
    def pictures(self, samples: Any, draw: Draw) -> list[pictures.Picture]:
        """What was shown, what was drawn, and the image."""
        view = moved(self.prepare(samples, draw), next(self.parameters()).device)
        pixels, order = view.pixels(), view.extra["order"]
        drawn, targets = self._drawn(pixels, order)[0].float(), self.patches(pixels)
        if self.config.normalised:  # the mean and deviation of a hidden patch are known here only
            drawn = drawn * targets.std(dim=2, keepdim=True) + targets.mean(dim=2, keepdim=True)
        shown = torch.ones_like(order, dtype=torch.bool).scatter(1, order[:, self.visible :], False)[
            :, :, None
        ]
        side = self.patch
        rows = [
            view.frame.plain(nn.functional.fold(row.transpose(1, 2), pixels.shape[2:], side, stride=side))
            for row in (targets * shown, torch.where(shown, targets, drawn), targets)
        ]
        return [pictures.Picture("Masked images", pictures.grid(rows), "shown, drawn, and as they are")]

    def _drawn(self, pixels: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Every patch as the decoder draws it, and the hidden states of the visible ones."""
        tokens = _taken(self.trunk.embed(pixels), order[:, : self.visible])
        hidden = self.trunk.encode(tokens)
        entered = self.enter(hidden)
        empty = self.missing.to(entered.dtype).expand(len(order), self.count - self.visible, -1)
        back = order.argsort(dim=1)
        whole = _taken(torch.cat([entered, empty], dim=1), back) + self.places
        return self.leave(self.layers(whole)), hidden


def normalised(patches: Tensor) -> Tensor:
    """Mean 0 and variance 1 within each patch."""
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    """(n, p, d) and (n, k) -> (n, k, d)."""
    return rows.gather(1, places[:, :, None].expand(-1, -1, rows.shape[2]))
