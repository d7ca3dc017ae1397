"""Token documents in memory, where a test needs no store."""

from __future__ import annotations

import numpy as np
import torch

from components.lib.modalities.text.samples import Text
from components.lib.modalities.text.settings import Pretraining

SPECIAL = {"pad": 0, "unk": 1, "bos": 2, "eos": 3, "mask": 4}
VOCABULARY = 60


class Documents:
    """The interface of TokenShards over a list of arrays."""

    def __init__(self, documents: list[np.ndarray]) -> None:
        self.flat = np.concatenate(documents)
        self.lengths = np.array([len(document) for document in documents])
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.fresh = len(documents)

    def gather(self, documents, begins, lengths):
        ends = np.cumsum(lengths)
        first = np.repeat(self.starts[documents] + begins - (ends - lengths), lengths)
        return self.flat[first + np.arange(ends[-1])], np.concatenate([[0], ends])


def documents(count: int = 40, seed: int = 0) -> list[np.ndarray]:
    """Documents that dwell on a few tokens each, so that there is something to learn."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(3, 60, count)
    return [generator.choice(generator.integers(5, VOCABULARY, 6), size) for size in sizes]


def text(count: int = 40, **options) -> Text:
    options = {"size": "nano", "sequence_length": 24, **options}
    return Text(
        Pretraining(**options), Documents(documents(count)), {"special": SPECIAL, "vocab_size": VOCABULARY}
    )


def trunk(samples: Text, seed: int = 0):
    torch.manual_seed(seed)
    return samples.trunk()
