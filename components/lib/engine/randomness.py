"""Counter-based random numbers, without state: pure functions of (seed, stream, coordinates).

SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
2014) hashes the coordinates one after the other. So a mask or a crop depends on its sample alone: not on
the batch that the sample is in, the worker that reads it, or what was drawn before a restart.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)


def mix(words: Words) -> Words:
    """SplitMix64's finaliser: a bijection of 64-bit words in which every bit depends on every bit."""
    with np.errstate(over="ignore"):
        words = words ^ (words >> np.uint64(30))  # a copy: the rest is in place
        words *= FIRST
        words ^= words >> np.uint64(27)
        words *= SECOND
        words ^= words >> np.uint64(31)
        return words


def hashed(seed: int, stream: str, *coordinates: npt.ArrayLike) -> Words:
    """One 64-bit word for each point of the broadcast coordinates (whole numbers)."""
    start = np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64) ^ np.uint64(zlib.crc32(stream.encode()))
    return more(mix(start + GOLDEN), *coordinates)


def more(words: Words, *coordinates: npt.ArrayLike) -> Words:
    """Continues `hashed` by further coordinates."""
    for coordinate in coordinates:
        with np.errstate(over="ignore"):
            words = mix(words + GOLDEN * (np.asarray(coordinate).astype(np.uint64) + np.uint64(1)))
    return words


def uniform(seed: int, stream: str, *coordinates: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) with 53 random bits, one for each point of the broadcast coordinates."""
    return (hashed(seed, stream, *coordinates) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class Draw:
    """The sample ids of a batch, and the random numbers that belong to each sample.

    Attributes:
        ids: (n,) sample numbers.
        epochs: (n,) how often each was seen before.
        training: False in validation.
    """

    ids: Ints
    epochs: Ints
    seed: int
    training: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    def uniform(self, stream: str, width: int = 1) -> npt.NDArray[np.float64]:
        """(n, width) numbers in [0, 1); the same for a sample and epoch, whatever its batch."""
        columns = np.arange(width, dtype=np.int64)
        return uniform(self.seed, stream, self.epochs[:, None], self.ids[:, None], columns[None, :])

    def part(self, start: int, stop: int) -> Draw:
        """The samples from `start` to `stop` of this batch."""
        return self.at(slice(start, stop))

    def at(self, places: slice | Ints) -> Draw:
        """The samples at these places of this batch."""
        return Draw(self.ids[places], self.epochs[places], self.seed, self.training)
