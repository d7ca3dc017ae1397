"""Log-mel frames on the device that computes, one every so many samples."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from components.lib.data.mel import filters

FLOOR, SILENCE = 1e-4, 1e-3  # power, of samples with variance 1, below which there is silence


class LogMel(nn.Module):
    """Logarithms of the power in bands; it has no weights.

    Attributes:
        bands, rate: how many, and samples a second.
        width, step: samples that a frame sees, and how many later the next begins.
    """

    def __init__(self, bands: int, rate: int, width: int, step: int) -> None:
        super().__init__()
        self.bands, self.rate, self.width, self.step = bands, rate, width, step

    def loudness(self, samples: Tensor, frames: Tensor) -> Tensor:
        """(n, samples) -> (n, frames, bands), 0 where it is silent and where `frames` are not real.

        What differs between voices and microphones stays, as vowels are told apart by it.
        """
        with torch.autocast(samples.device.type, enabled=False):  # logarithms of bf16 are steps
            return (self._power(samples) / SILENCE).log1p().masked_fill(~frames[:, :, None], 0.0) / 3

    def forward(self, samples: Tensor, frames: Tensor) -> Tensor:
        """(n, samples) -> (n, frames, bands) with mean 0 and variance 1 over the real frames of a clip.

        Args:
            frames: (n, frames) bool: the real ones; others are 0.
        """
        with torch.autocast(samples.device.type, enabled=False):
            seen = (self._power(samples) + FLOOR).log()
            real = frames[:, :, None]
            count = frames.sum(dim=1)[:, None, None].clamp(min=1)
            mean = seen.masked_fill(~real, 0.0).sum(dim=1, keepdim=True) / count
            centred = (seen - mean).masked_fill(~real, 0.0)
            normal: Tensor = centred / (centred.square().sum(dim=1, keepdim=True) / count + 1e-5).sqrt()
            return normal

    def _power(self, samples: Tensor) -> Tensor:
        waves, weights = _tables(self.bands, self.rate, self.width, samples.device)
        cosine, sine = (samples.float().unfold(1, self.width, self.step) @ waves).chunk(2, dim=2)
        return (cosine.square() + sine.square()) @ weights / self.width


@cache
def _tables(bands: int, rate: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Waves under a Hann window and filters; no buffers, which `from_pretrained` would leave empty."""
    bins = torch.arange(width // 2 + 1)[None, :] * torch.arange(width)[:, None]
    angles = 2 * torch.pi * (bins % width) / width
    waves = torch.cat([angles.cos(), angles.sin()], dim=1) * torch.hann_window(width)[:, None]
    return waves.to(device), torch.as_tensor(filters(rate, width, bands)).to(device)
