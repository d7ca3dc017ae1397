"""Generative adversarial training: the network that tells images from made ones is the trunk.

Goodfellow et al., NeurIPS 2014; the hinge loss of Lim and Ye (2017) and Miyato et al. (ICLR 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine import device_noise
from components.lib.engine.normalization import frozen_running_statistics
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import MAIN, Loss, Phase
from components.lib.engine.transfer import moved
from components.lib.modalities.image import pictures
from components.lib.modalities.image.views import View
from components.lib.models.collapse import SPREAD, spread
from components.lib.models.vision import decoders

NEEDS = ("pixels",)


@dataclass(frozen=True)
class Config:
    """The generator, and how fast it learns."""

    latent: int = setting(64, "numbers that an image is made from", minimum=1, maximum=4096)
    rate: float = setting(1.0, "of the generator, times the learning rate", minimum=0.0, maximum=100.0)
    beta1: float = setting(0.5, "of both optimizers", minimum=0.0, maximum=0.999)


class Objective(nn.Module):
    """Two players with an optimizer each: trunk and a linear layer against a generator."""

    PARTS: ClassVar = {MAIN: ("real", "fake", *SPREAD), "generator": ()}

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        self.head = nn.Linear(trunk.width, 1)
        self.generator = decoders.CodeDecoder(config.latent, trunk.shape[0], trunk.shape[1:])

    def phases(self) -> dict[str, Phase]:
        """First the discriminator moves, then the generator."""
        betas = (self.config.beta1, 0.999)
        judge = (*self.trunk.parameters(), *self.head.parameters())
        maker = tuple(self.generator.parameters())
        return {
            MAIN: Phase(judge, betas=betas),  # so that other objectives may train the trunk as well
            "generator": Phase(maker, rate=self.config.rate, betas=betas, weight_decay=0.0),
        }

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Images, mirrored perhaps, and the key of the numbers that a made one is made from."""
        keys = np.floor(draw.uniform("latent", 2) * 2.0**31).astype(np.int64)
        view: View = samples.view(draw, "view", samples.strength.mirror())
        return view.plus(keys=torch.from_numpy(keys))

    def forward(self, batch: View, phase: str) -> Loss:
        """Hinge losses, summed over images; each player sees made images of its own."""
        keys = batch.extra["keys"][:, int(phase == "generator")]
        if phase == "generator":
            with frozen_running_statistics(self.trunk):
                return Loss(-self._judged(self._made(batch, keys))[0].sum(), batch.weight)
        with torch.no_grad():
            made = self._made(batch, keys)
        with frozen_running_statistics(self.trunk):  # these are of real images
            fake, _ = self._judged(made)
        real, pooled = self._judged(batch.pixels())
        total = (1 - real).relu().sum() + (1 + fake).relu().sum()
        parts = {"real": (real > 0).sum(), "fake": (fake < 0).sum()}
        return Loss(total, batch.weight, {**parts, **spread(pooled, batch.weight)})

    @torch.no_grad()
    def pictures(self, samples: Any, draw: Draw) -> list[pictures.Picture]:
        """Made images above real ones."""
        view = moved(self.prepare(samples, draw), next(self.parameters()).device)
        rows = [view.frame.plain(self._made(view, view.extra["keys"][:, place])) for place in (0, 1)]
        note = "two rows that the generator made, one of images"
        return [pictures.Picture("Generated", pictures.grid([*rows, view.plain()]), note)]

    def _made(self, batch: View, keys: Tensor) -> Tensor:
        latent = device_noise.gaussian(keys, self.config.latent)
        return batch.frame.normal(self.generator(latent).float().sigmoid())

    def _judged(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.trunk.pool(self.trunk.read(pixels))
        return self.head(pooled)[:, 0].float(), pooled
