"""The order of samples as a pure function of the step: nothing to save, nothing to replay.

Epoch e visits the samples in the order of a keyed permutation: a Feistel network over the next even power
of two, walked until it falls below the number of samples (Black and Rogaway, "Ciphers with arbitrary
finite domains", CT-RSA 2002). Step s takes positions [s * B, (s + 1) * B) of the endless sequence of epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from components.lib.engine.randomness import Draw, Ints, Words, hashed

ROUNDS = 4
BLOCK = 2**14  # positions


@dataclass(frozen=True)
class Order:
    """The samples of every step.

    Attributes:
        samples: how many there are.
        batch: the global batch, in samples; the same whatever the number of processes.
    """

    samples: int
    batch: int
    seed: int

    def draw(self, step: int, rank: int = 0, world: int = 1) -> Draw:
        """The part of step `step` (from 0) that belongs to `rank` of `world` processes."""
        share = self.batch // world
        first = step * self.batch + rank * share
        blocks = range(first // BLOCK, (first + share - 1) // BLOCK + 1)
        ids, epochs = (
            np.concatenate(parts)
            for parts in zip(*(_block(self.samples, self.seed, n) for n in blocks), strict=True)
        )
        inside = slice(first - blocks[0] * BLOCK, first - blocks[0] * BLOCK + share)
        return Draw(ids[inside], epochs[inside], self.seed)


@lru_cache(maxsize=8)
def _block(samples: int, seed: int, number: int) -> tuple[Ints, Ints]:
    """Samples and epochs of many positions at once: a draw alone costs as much as hundreds."""
    positions = number * BLOCK + np.arange(BLOCK, dtype=np.int64)
    epochs, places = np.divmod(positions, samples)
    return permuted(places, epochs, samples, seed), epochs


def permuted(places: Ints, epochs: Ints, size: int, seed: int) -> Ints:
    """Where each place of [0, size) goes in the permutation of its epoch; a bijection for each epoch."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    moved = places.astype(np.uint64)
    outside = np.ones(len(moved), dtype=bool)
    while outside.any():
        moved[outside] = _feistel(moved[outside], epochs[outside], half, seed)
        outside = moved >= size
    return moved.astype(np.int64)


def _feistel(words: Words, epochs: Ints, half: int, seed: int) -> Words:
    mask = np.uint64((1 << half) - 1)
    left, right = words >> np.uint64(half), words & mask
    for turn in range(ROUNDS):
        left, right = right, left ^ (hashed(seed, "order", epochs, right, turn) & mask)
    return (left << np.uint64(half)) | right
