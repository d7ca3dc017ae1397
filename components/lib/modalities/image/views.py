"""A batch of images and what is done to them on the training device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from components.lib.engine.trainable import PerSample
from components.lib.engine.transfer import constant
from components.lib.modalities.image.augmentation import Recipe, apply


@dataclass(frozen=True)
class Frame:
    """The numbers between stored and trained pixels.

    Attributes:
        mean, std: one a channel, of pixels in [0, 1].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normal(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] -> mean 0 and variance 1 over the corpus."""
        return (pixels - self._shaped(self.mean, pixels)) / self._shaped(self.std, pixels)

    def plain(self, normal: Tensor) -> Tensor:
        """The way back, cut to [0, 1]."""
        plain = normal * self._shaped(self.std, normal) + self._shaped(self.mean, normal)
        return plain.clamp(0, 1)

    def _shaped(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        return constant(values, like)[:, None, None]


@dataclass(frozen=True)
class View(PerSample):
    """n images as they are stored, and the recipe of this view of them.

    Attributes:
        images: (n, H, W, C) uint8.
        extra: tensors of an objective that go with the images: angles, hidden patches, keys of noise.
        flops: of a forward and backward pass of the trunk.
    """

    images: Tensor
    recipe: Recipe
    frame: Frame
    extra: dict[str, Tensor]
    flops: float = 0.0

    def __len__(self) -> int:
        return len(self.images)

    def plus(self, **extra: Tensor) -> View:
        """With tensors that an objective needs beside the images."""
        return replace(self, extra={**self.extra, **extra})

    def plain(self) -> Tensor:
        """(n, C, H, W) pixels in [0, 1], augmented."""
        pixels = self.images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return apply(pixels.mul_(1 / 255), self.recipe)

    def pixels(self) -> Tensor:
        """(n, C, H, W) augmented and normalised: what a trunk reads."""
        with torch.no_grad(), torch.autocast(self.images.device.type, enabled=False):
            return self.frame.normal(self.plain())
