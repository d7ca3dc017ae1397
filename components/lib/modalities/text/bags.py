"""Bags of words: the distinct tokens of texts with their counts, and document frequencies of a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.lib.engine.randomness import Ints

READ = 1 << 20  # tokens that are held at once
COUNTED = 100_000_000  # most tokens of a corpus that are counted, of documents spread evenly over it

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bags:
    """A batch of texts; memory grows with their tokens alone.

    Attributes:
        ids: (T,) distinct tokens of all texts, one text after the other.
        weights: (T,) 1 + the logarithm of how often each stands in its text (sublinear term frequency).
        starts: (n,) where each text begins.
        real: tokens of the texts, repetitions included.
        flops: of a forward and backward pass of the trunk.
    """

    ids: Tensor
    weights: Tensor
    starts: Tensor
    real: int
    flops: float = 0.0

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def slots(self) -> int:
        """The same: nothing is padded."""
        return self.real


def bags(flat: npt.NDArray[Any], sizes: Ints, vocabulary: int, width: int = 0) -> Bags:
    """The bags of texts of `sizes` tokens each, which stand in `flat` one after the other."""
    texts, ids, counts = counted(flat, sizes, vocabulary)
    starts = np.searchsorted(texts, np.arange(len(sizes)))
    weights = (1 + np.log(counts)).astype(np.float32)
    flops = 6.0 * width * (len(ids) + width * len(sizes))
    one, two, three = (torch.from_numpy(array) for array in (ids, weights, starts))
    return Bags(one, two, three, len(flat), flops)


def counted(flat: npt.NDArray[Any], sizes: Ints, vocabulary: int) -> tuple[Ints, Ints, Ints]:
    """(T,) text, token and count of each distinct token of each text, in this order."""
    keys = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes) * vocabulary + flat
    distinct, counts = np.unique(keys, return_counts=True)
    texts, ids = np.divmod(distinct, vocabulary)
    return texts, ids, counts


def documents(shards: Any, most: int) -> Iterator[tuple[npt.NDArray[Any], Ints]]:
    """Tokens and sizes of documents that are spread evenly over a corpus, about `most` tokens of them."""
    lengths: Ints = shards.lengths
    step = max(1, -(-int(lengths.sum()) // most))
    chosen = np.arange(0, len(lengths), step)
    part = np.cumsum(lengths[chosen]) // READ
    for places in np.split(chosen, np.flatnonzero(np.diff(part)) + 1):
        sizes = lengths[places]
        yield shards.gather(places, np.zeros_like(sizes), sizes)[0], sizes


def inverse_frequencies(shards: Any, vocabulary: int) -> Floats:
    """(vocabulary,) log((1 + documents) / (1 + documents with the token)) + 1, as scikit-learn has it."""
    total, found = 0, np.zeros(vocabulary, np.int64)
    for flat, sizes in documents(shards, COUNTED):
        total += len(sizes)
        found += np.bincount(counted(flat, sizes, vocabulary)[1], minlength=vocabulary)
    inverse: Floats = (np.log((1 + total) / (1 + found)) + 1).astype(np.float32)
    return inverse
