"""Batches of positive pairs: two views of each sample, for contrastive and self-distillation objectives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Views:
    """Two views of the same samples, made by the modality.

    Attributes:
        ids: (n,) sample numbers: a sample that is in the batch twice is not a negative of itself.
        passes: compute on a view, in forward and backward passes of the trunk.
    """

    first: Any
    second: Any
    ids: Tensor
    passes: float = 1.0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """Views that are compared."""
        return 2.0 * len(self.ids)

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return int(self.first.real + self.second.real)

    @property
    def slots(self) -> int:
        """Tokens computed on, padding included."""
        return int(self.first.slots + self.second.slots)

    @property
    def flops(self) -> float:
        """FLOPs of the trunk; the heads' are few."""
        return float(self.first.flops + self.second.flops) * self.passes
