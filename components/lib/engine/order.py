"""Sampling order as a pure function of the step: no state to save, nothing to replay on resume.

Epoch e visits the samples in the order of a keyed permutation: a Feistel network over the next power of
two, walked until it falls below the number of samples (Black and Rogaway, "Ciphers with arbitrary
finite domains", CT-RSA 2002). Step s takes positions [s * B, (s + 1) * B) of the endless sequence of epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from components.lib.engine.randomness import Draw, Ints, hashed

Keys = npt.NDArray[np.uint32]

ROUNDS = 4
BLOCK = 2**16  # positions


@dataclass(frozen=True)
class Order:
    """The global batch of every step: a shuffled epoch after the other.

    Attributes:
        samples: how many there are.
        batch: the global batch, in samples; the same whatever the number of processes.
    """

    samples: int
    batch: int
    seed: int

    def draw(self, step: int) -> Draw:
        """The global batch of step `step` (from 0)."""
        first = step * self.batch
        parts, last = [], first + self.batch
        while first < last:
            number, at = divmod(first, BLOCK)
            inside = slice(at, min(at + last - first, BLOCK))
            parts.append([array[inside] for array in _block(self.samples, self.seed, number)])
            first += inside.stop - at
        ids, epochs = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return Draw(ids, epochs, self.seed)


def rank_batch(draw: Draw, costs: Ints | None, rank: int, world: int) -> Draw:
    """Load-balanced share of a global batch for `rank` of `world`: the same number of samples for each.

    Args:
        costs: of every sample, such as its length. A step takes as long as its slowest rank, so samples are
            dealt out from the dearest on, each round by who has least so far; None: by their places.
    """
    if world == 1:
        return draw
    owners = np.repeat(np.arange(world), len(draw) // world)
    if costs is not None:
        sums = np.zeros(world, costs.dtype)
        for places in np.argsort(-costs[draw.ids], kind="stable").reshape(-1, world):
            owners[places] = least = np.argsort(sums, kind="stable")
            sums[least] += costs[draw.ids[places]]
    return draw.at(np.flatnonzero(owners == rank))


@lru_cache(maxsize=8)
def _block(samples: int, seed: int, number: int) -> tuple[Ints, Ints]:
    """Samples and epochs of many positions at once: a draw alone costs as much as hundreds."""
    positions = number * BLOCK + np.arange(BLOCK, dtype=np.int64)
    epochs, places = np.divmod(positions, samples)
    return permuted(places, epochs, samples, seed), epochs


def permuted(places: Ints, epochs: Ints, size: int, seed: int) -> Ints:
    """Keyed permutation of [0, size), another for each epoch: where each place goes."""
    bits, first = max(1, (size - 1).bit_length()), epochs.min()
    words = hashed(seed, "order", np.arange(ROUNDS)[:, None], np.arange(first, epochs.max() + 1))
    keys = words.astype(np.uint32)
    epochs = epochs - first
    moved = _feistel(places, epochs, keys, bits)
    outside = np.flatnonzero(moved >= size)
    while len(outside):
        walked = moved[outside] = _feistel(moved[outside], epochs[outside], keys, bits)
        outside = outside[walked >= size]
    return moved


def _feistel(words: Ints, epochs: Ints, keys: Keys, bits: int) -> Ints:
    """Feistel network over `bits` bits: each half in turn is XORed with a hash of the other."""
    width = bits // 2
    low, high = (words & ((1 << width) - 1)).astype(np.uint32), (words >> width).astype(np.uint32)
    for turn in range(0, ROUNDS, 2):
        low ^= _mix(high ^ keys[turn].take(epochs)) & np.uint32((1 << width) - 1)
        high ^= _mix(low ^ keys[turn + 1].take(epochs)) & np.uint32((1 << (bits - width)) - 1)
    return (high.astype(np.int64) << width) | low


def _mix(words: Keys) -> Keys:
    """32-bit hash lowbias32, in place; half of the width, a sixth of the time of a 64-bit one.

    Wellons, "Prospecting for hash functions", 2018.
    """
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x7FEB352D)
    words ^= words >> np.uint32(15)
    words *= np.uint32(0x846CA68B)
    words ^= words >> np.uint32(16)
    return words
