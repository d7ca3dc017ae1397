"""Log-mel frames on the training device, one at each place of the network's convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.lib.modalities.audio.spectrogram import filters

FLOOR = 1e-4  # power, of samples with variance 1, below which there is silence


class LogMel(nn.Module):
    """Bands with mean 0 and variance 1 over the real frames of a clip.

    Args:
        rate: samples a second.
        kernels, strides: of the convolutions: what a place sees, and how far the next is.
    """

    def __init__(self, bands: int, rate: int, kernels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.step = math.prod(strides)
        self.width = 1 + sum((k - 1) * math.prod(strides[:n]) for n, k in enumerate(kernels))
        bins = torch.arange(self.width // 2 + 1)[None, :] * torch.arange(self.width)[:, None]
        angles = 2 * math.pi * (bins % self.width) / self.width
        waves = torch.cat([angles.cos(), angles.sin()], dim=1) * torch.hann_window(self.width)[:, None]
        self.waves: Tensor
        self.filters: Tensor
        self.register_buffer("waves", waves, persistent=False)
        self.register_buffer("filters", torch.as_tensor(filters(rate, self.width, bands)), persistent=False)

    def forward(self, samples: Tensor, frames: Tensor) -> Tensor:
        """(n, samples) -> (n, frames, bands)."""
        cosine, sine = (samples.unfold(1, self.width, self.step) @ self.waves).chunk(2, dim=2)
        seen = ((cosine.square() + sine.square()) @ self.filters / self.width + FLOOR).log()
        real = frames[:, :, None]
        count = frames.sum(dim=1)[:, None, None].clamp(min=1)
        mean = seen.masked_fill(~real, 0.0).sum(dim=1, keepdim=True) / count
        centred = (seen - mean).masked_fill(~real, 0.0)
        normal: Tensor = centred / (centred.square().sum(dim=1, keepdim=True) / count + 1e-5).sqrt()
        return normal
