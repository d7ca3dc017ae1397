"""Batches of rows: views for pre-training, and labelled rows for the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.engine import device_noise
from components.lib.engine.trainable import PerSample


@dataclass(frozen=True)
class View(PerSample):
    """n rows as they are, and the noise of this view of them.

    Attributes:
        rows: (n, columns) of mean 0 and deviation 1.
        keys: (n,) of each row's noise.
        noise: its deviation.
        flops: of a forward and backward pass of the trunk.
    """

    rows: Tensor
    keys: Tensor
    noise: float
    flops: float

    def __len__(self) -> int:
        return len(self.rows)

    def numbers(self) -> Tensor:
        """(n, columns), with the noise."""
        if not self.noise:
            return self.rows
        return self.rows + self.noise * device_noise.gaussian(self.keys, self.rows.shape[1])


@dataclass(frozen=True)
class Labelled(PerSample):
    """A batch of labelled rows."""

    numbers: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def arguments(self, model: Any = None) -> dict[str, Tensor]:
        return {"numbers": self.numbers}


@dataclass(frozen=True)
class Rows:
    """Rows (n, columns) of mean 0 and deviation 1, with their targets (n,)."""

    rows: Any
    targets: Any

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, chosen: Sequence[int] | Any) -> Rows:
        return replace(self, rows=self.rows[chosen], targets=self.targets[chosen])

    def batch(self, chosen: Sequence[int] | Any) -> Labelled:
        return Labelled(torch.from_numpy(self.rows[chosen]), torch.from_numpy(self.targets[chosen]))

    def batches(self, size: int) -> list[Any]:
        return np.array_split(np.arange(len(self)), max(1, -(-len(self) // size)))
