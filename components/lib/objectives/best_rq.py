"""BEST-RQ: name the codeword of a frame that was hidden, by a random projection that is never trained.

Chiu et al., "Self-supervised learning with random-projection quantizer for speech recognition", ICML 2022.
Targets are nearest codewords of log-mel frames, each clip's bands with mean 0 and variance 1, by directions
after a random projection; several codebooks, as in USM (Zhang et al., 2023). Nothing can collapse, so it is
stable with small batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.modalities.audio.samples import hiding
from components.lib.modalities.audio.trunk import reach
from components.lib.modalities.audio.views import View
from components.lib.models.audio.mel import LogMel

NEEDS = ("waveform", "frames")


@dataclass(frozen=True)
class Config:
    """What is hidden, and the codebooks."""

    hidden: float = setting(
        0.5, "share of frames in hidden spans, which may overlap", minimum=0.01, maximum=1.0
    )
    span: int = setting(
        10, "frames of a span; in short clips a third of their frames", minimum=1, maximum=100
    )
    bands: int = setting(40, "of the log-mel frames that are projected", minimum=8, maximum=128)
    codebooks: int = setting(4, "independent projections, whose losses are averaged", minimum=1, maximum=64)
    codewords: int = setting(256, "of a codebook", minimum=2, maximum=65_536)
    width: int = setting(16, "of a projection", minimum=2, maximum=512)


class Objective(nn.Module):
    """Trunk and a linear classifier; projections and codebooks are fixed, and kept with the checkpoint."""

    PARTS = ("accuracy", "perplexity")

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        self.mel = LogMel(config.bands, trunk.rate, *reach(*trunk.kernels))
        books = torch.randn(config.codebooks, config.codewords, config.width)
        projection = torch.empty(config.codebooks, config.bands, config.width)
        for one in projection:
            nn.init.xavier_uniform_(one)
        self.projection: Tensor
        self.books: Tensor
        self.register_buffer("projection", projection)
        self.register_buffer("books", nn.functional.normalize(books, dim=2))
        self.name = nn.Linear(trunk.width, config.codebooks * config.codewords)

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Crops, and the frames that are hidden."""
        return hiding(samples.view(draw, "view"), draw, self.config.hidden, self.config.span)

    def forward(self, batch: View) -> Loss:
        """Cross-entropy of the codewords of hidden frames, averaged over codebooks, summed over frames."""
        waves = batch.samples(self.trunk.normalize)
        hidden = self.trunk.encode(self.trunk.hide(self.trunk.embed(waves)[0], batch), batch.frames)
        mask = batch.extra["hidden"]
        with torch.autocast(waves.device.type, enabled=False):
            targets = self.targets(waves, batch.frames)
            logits = self.name(hidden.float()).unflatten(2, (self.config.codebooks, -1))
            losses = logits.logsumexp(dim=3) - logits.gather(3, targets[..., None])[..., 0]
            total = losses.mean(dim=2).masked_fill(~mask, 0.0).sum()
        right = ((logits.argmax(dim=3) == targets).float().mean(dim=2) * mask).sum()
        perplexity = self._used(targets, mask) * batch.weight
        return Loss(total, batch.weight, {"accuracy": right, "perplexity": perplexity})

    @torch.no_grad()
    def targets(self, waves: Tensor, frames: Tensor) -> Tensor:
        """(n, frames, codebooks) number of the nearest codeword by direction."""
        seen = self.mel(waves, frames)
        projected = nn.functional.normalize(torch.einsum("nlb,cbw->nlcw", seen, self.projection), dim=3)
        return torch.einsum("nlcw,ckw->nlck", projected, self.books).argmax(dim=3)

    @torch.no_grad()
    def _used(self, targets: Tensor, mask: Tensor) -> Tensor:
        """() how many codewords of a codebook are in use: the exponential of their entropy."""
        counts = nn.functional.one_hot(targets, self.config.codewords) * mask[:, :, None, None]
        shares = counts.sum(dim=(0, 1)) / mask.sum().clamp(min=1)
        return (-torch.xlogy(shares, shares).sum(dim=1)).exp().mean()
