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
    places = torch.arange(count, dtype=torch.int32, device=keys.device)
    words = _mixed(_mixed(keys.to(torch.int32))[:, None] ^ _mixed(places * GOLDEN + 1)[None, :])
    return inside(words)


def inside(words: Tensor) -> Tensor:
    """32-bit words as numbers in (0, 1): with a bit more, the largest word would round to 1."""
    return ((words >> 9) & 0x7FFFFF).float().add_(0.5).mul_(2.0**-23)


def gaussian(keys: Tensor, count: int) -> Tensor:
    """(n, count) normal numbers; the largest is 5.3."""
    return torch.erfinv(uniform(keys, count).mul_(2).sub_(1)).mul_(math.sqrt(2))


def _mixed(words: Tensor) -> Tensor:
    words = (words ^ ((words >> 16) & 0xFFFF)) * FIRST
    words = (words ^ ((words >> 15) & 0x1FFFF)) * SECOND
    return words ^ ((words >> 16) & 0xFFFF)
