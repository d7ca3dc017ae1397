"""Labelled images of one size, and batches of them, for tasks on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.data.images import Pixels
from components.lib.engine.randomness import Ints
from components.lib.engine.trainable import PerSample
from components.lib.engine.transfer import constant
from components.lib.modalities.image.canvas import Canvas


@dataclass(frozen=True)
class ImageSet:
    """Images with their targets.

    Attributes:
        pixels: (n, height, width, channels).
        targets: (n, ...) numbers, or a list of n arrays of different length.
        canvas: their size, mean and deviation.
    """

    pixels: Pixels
    targets: Any
    canvas: Canvas

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, chosen: Sequence[int] | Ints) -> ImageSet:
        """The images at these places, in this order."""
        targets = self.targets
        picked = targets[chosen] if isinstance(targets, np.ndarray) else [targets[i] for i in chosen]
        return replace(self, pixels=self.pixels[chosen], targets=picked)

    def batch(self, chosen: Sequence[int] | Ints) -> Framed:
        """These images."""
        part = self.subset(chosen)
        targets = part.targets
        if isinstance(targets, np.ndarray):
            targets = torch.from_numpy(targets)
        else:
            targets = tuple(torch.from_numpy(target) for target in targets)
        return Framed(torch.from_numpy(part.pixels), targets, self.canvas)

    def batches(self, size: int) -> list[Ints]:
        """All places in batches."""
        return np.array_split(np.arange(len(self)), max(1, -(-len(self) // size)))


@dataclass(frozen=True)
class Framed(PerSample):
    """A batch: (n, height, width, channels) bytes, and the targets."""

    pixels: Tensor
    targets: Any
    canvas: Canvas

    def __len__(self) -> int:
        return len(self.pixels)

    def arguments(self, model: Any = None) -> dict[str, Tensor]:
        """Of a pass of a model."""
        return {"pixel_values": self.normal()}

    def normal(self) -> Tensor:
        """(n, channels, height, width) with the corpus' mean 0 and deviation 1."""
        pixels = self.pixels.float() / 255
        mean, std = (constant(values, pixels) for values in (self.canvas.mean, self.canvas.std))
        return ((pixels - mean) / std).permute(0, 3, 1, 2).contiguous()
