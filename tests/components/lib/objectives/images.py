"""Scikit-learn's digits in memory, where a test needs no store."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits

from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining


class Arrays:
    """The interface of PixelShards over an array."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.fresh = images, len(images)
        _, self.height, self.width, self.channels = images.shape
        shares = images.reshape(-1, self.channels) / 255
        self.mean, self.std = shares.mean(axis=0), shares.std(axis=0)

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, ids: np.ndarray) -> np.ndarray:
        return self.images[ids]


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 16, 16, 1) and classes."""
    pixels, classes = load_digits(return_X_y=True)
    grey = np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return grey.repeat(2, axis=1).repeat(2, axis=2), classes


def coloured(count: int = 40, seed: int = 0) -> np.ndarray:
    """Digits in ink of a colour that their class decides, on paper of any dim colour."""
    images, classes = digits()
    generator = np.random.default_rng(seed)
    ink = np.stack([np.cos(np.arange(10) * 0.6283 + turn) * 0.4 + 0.6 for turn in (0.0, 2.1, 4.2)], axis=1)
    shares = images[:count] / 255
    paper = generator.uniform(0, 0.2, (count, 1, 1, 3))
    pixels = shares * ink[classes[:count], None, None, :] + (1 - shares) * paper
    return np.round(pixels * 255).astype(np.uint8)


def images(count: int = 40, channels: int = 1, **options) -> Images:
    options = {"architecture": "cnn", "size": "nano", "crop": 0.5, "flip": 0.0, "patch": 4, **options}
    return Images(Pretraining(**options), Arrays(digits()[0][:count] if channels == 1 else coloured(count)))


def trunk(samples: Images, seed: int = 0):
    torch.manual_seed(seed)
    return samples.trunk()
