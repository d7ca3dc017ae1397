"""A batch of clips and what is done to them on the training device: speed, noise, hidden frames and bands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from components.lib.engine.device_noise import gaussian

TINY = 1e-7  # added to a variance, as `transformers` does


@dataclass(frozen=True)
class View:
    """n crops of clips as they are stored, and the recipe of this view of them.

    Attributes:
        waves: (n, samples) int16, zeros behind the end of a clip.
        lengths: (n,) samples that are real.
        frames: (n, frames) bool: places of the network that are real.
        extra: tensors that go with the clips: `hidden` (n, frames) frames not to be shown, `bands` (n, 2)
            where hidden features begin and end, `noise` (n,) deviation, `keys` (n,) of it.
        rate: samples a second.
        seconds: of all clips.
        flops: of a forward and backward pass of the trunk.
        counted: frames that a loss is over; None: it is over clips.
    """

    waves: Tensor
    lengths: Tensor
    frames: Tensor
    extra: dict[str, Tensor]
    rate: int
    seconds: float
    flops: float = 0.0
    counted: float | None = None

    def __len__(self) -> int:
        return len(self.waves)

    @property
    def weight(self) -> float:
        """What a loss is over: clips, or the frames that are counted."""
        return float(len(self.waves)) if self.counted is None else self.counted

    @property
    def real(self) -> float:
        """Seconds that carry data."""
        return self.seconds

    @property
    def slots(self) -> float:
        """Seconds that are computed."""
        return self.waves.numel() / self.rate

    def plus(self, **extra: Tensor) -> View:
        """With tensors that an objective needs beside the clips."""
        return replace(self, extra={**self.extra, **extra})

    def samples(self, normalize: bool = True) -> Tensor:
        """(n, samples) floats, noise added: what a trunk reads.

        Args:
            normalize: whether each clip has mean 0 and variance 1.
        """
        with torch.no_grad(), torch.autocast(self.waves.device.type, enabled=False):
            given = self.waves.float() / 32768
            real = torch.arange(given.shape[1], device=given.device) < self.lengths[:, None]
            if normalize:
                given = normalised(given, real)
            if "noise" in self.extra:
                noise = gaussian(self.extra["keys"], given.shape[1]) * self.extra["noise"][:, None]
                given = given + noise.to(given.dtype)
            return given.masked_fill(~real, 0.0)


def normalised(samples: Tensor, real: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the real samples, as `Wav2Vec2FeatureExtractor` does; others are 0."""
    count = real.sum(dim=1, keepdim=True).clamp(min=1)
    mean = samples.masked_fill(~real, 0.0).sum(dim=1, keepdim=True) / count
    centred = (samples - mean).masked_fill(~real, 0.0)
    return centred / (centred.square().sum(dim=1, keepdim=True) / count + TINY).sqrt()
