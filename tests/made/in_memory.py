"""What an objective trains on, in memory: token documents, digits, their trunks, and draws of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from components.lib.engine.randomness import Draw
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining as ImageSettings
from components.lib.modalities.text.samples import Text, samples
from components.lib.modalities.text.settings import Pretraining as TextSettings

SPECIAL = {"pad": 0, "unk": 1, "bos": 2, "eos": 3, "mask": 4}
VOCABULARY = 60


class Documents:
    """The interface of TokenShards over a list of arrays."""

    def __init__(self, documents: list[np.ndarray]) -> None:
        self.flat = np.concatenate(documents)
        self.lengths = np.array([len(document) for document in documents])
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.sentences, self.fresh = self.starts, len(documents)

    def gather(
        self, documents: np.ndarray, begins: np.ndarray, lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        ends = np.cumsum(lengths)
        first = np.repeat(self.starts[documents] + begins - (ends - lengths), lengths)
        return self.flat[first + np.arange(ends[-1])], np.concatenate([[0], ends])


class Arrays:
    """The interface of PixelShards over (n, height, width, channels) bytes."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.fresh = images, len(images)
        _, self.height, self.width, self.channels = images.shape
        some = images[:: max(1, len(images) // 5000)].reshape(-1, self.channels) / 255
        self.mean, self.std = some.mean(axis=0), some.std(axis=0)

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, ids: np.ndarray) -> np.ndarray:
        return self.images[ids]


def draw(ids: int | Sequence[int] = 12, epoch: int = 0, seed: int = 3, *, training: bool = True) -> Draw:
    """These samples, or the first so many, in one epoch."""
    chosen = np.arange(ids) if isinstance(ids, int) else np.asarray(ids)
    return Draw(chosen, np.full(len(chosen), epoch, dtype=np.int64), seed, training)


def trunk(samples: Any, seed: int = 0) -> Any:
    """The trunk that the settings of the samples ask for, with the weights of a seed."""
    torch.manual_seed(seed)
    return samples.trunk()


def documents(count: int = 40, seed: int = 0) -> list[np.ndarray]:
    """Token documents that dwell on a few tokens each, so that there is something to learn."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(3, 60, count)
    return [generator.choice(generator.integers(5, VOCABULARY, 6), size) for size in sizes]


def text(source: int | list[np.ndarray] = 40, vocabulary: int = VOCABULARY, **options: Any) -> Text:
    """Samples of made-up documents, so many or these."""
    config = TextSettings(**{"size": "nano", "sequence_length": 24, **options})
    chosen = documents(source) if isinstance(source, int) else source
    return samples(config, Documents(chosen), {"special": SPECIAL, "vocab_size": vocabulary})


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's digits, (1797, 16, 16, 1) bytes, and their classes."""
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


def images(count: int = 40, channels: int = 1, **options: Any) -> Images:
    """Samples of digits, grey or coloured."""
    options = {"architecture": "cnn", "size": "nano", "crop": 0.5, "flip": 0.0, "patch": 4, **options}
    return Images(ImageSettings(**options), Arrays(digits()[0][:count] if channels == 1 else coloured(count)))
