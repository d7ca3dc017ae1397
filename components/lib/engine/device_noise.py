"""Counter-based noise computed on the device: each value is a hash of its sample's key and its place.

Wellons' lowbias32, the same integers on every device. `Draw` hashes 64 bits on the CPU; pixels are too many
to be sent over.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FIRST, SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)  # as signed 32-bit numbers
GOLDEN = 0x9E3779B9 - (1 << 32)


def uniform(keys: Tensor, count: int) -> Tensor:
    """(n, count) uniform numbers in (0, 1), 23 bits each, for (n,) whole keys below 2^31."""
    return inside(_words(keys, count))


def inside(words: Tensor) -> Tensor:
    """32-bit words as numbers in (0, 1): with a bit more, the largest word would round to 1."""
    return ((words >> 9) & 0x7FFFFF).float().add_(0.5).mul_(2.0**-23)


def bernoulli(keys: Tensor, count: int, chance: float) -> tuple[Tensor, float]:
    """(n, count) bool, true with probability `chance` in steps of 2^-16, and that probability exactly."""
    false = round((1 - chance) * 2**16)
    halves = _words(keys, -(-count // 2)).view(torch.int16)[:, :count]
    return halves >= false - 2**15, 1 - false / 2**16


def gaussian(keys: Tensor, count: int) -> Tensor:
    """(n, count) normal numbers; the largest is 5.3."""
    return torch.erfinv(uniform(keys, count).mul_(2).sub_(1)).mul_(math.sqrt(2))


def _words(keys: Tensor, count: int) -> Tensor:
    """(n, count) 32-bit hashes of (key, place)."""
    places = torch.arange(count, dtype=torch.int32, device=keys.device)
    return mixed(mixed(keys.to(torch.int32))[:, None] ^ mixed(places * GOLDEN + 1)[None, :])


def mixed(words: Tensor) -> Tensor:
    """lowbias32: a bijection of int32 words in which every bit depends on every bit."""
    words = (words ^ ((words >> 16) & 0xFFFF)) * FIRST
    words = (words ^ ((words >> 15) & 0x1FFFF)) * SECOND
    return words ^ ((words >> 16) & 0xFFFF)
