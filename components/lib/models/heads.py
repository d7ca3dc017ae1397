"""Heads that `transformers` has no class for: one number a sample, and a vector of length 1 a sample."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.models.branch import Branch, pooled, width


class NumberHead(Branch):
    """Trunk, and a linear map of its pooled states to one number in the units of the labels.

    Attributes:
        mean, scale: of the labels that are learnt from.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.linear = nn.Linear(width(config), 1)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, labels: Tensor) -> None:
        """Takes the mean and the deviation of the labels (n,)."""
        self.mean.fill_(labels.double().mean())
        spread = labels.double().std(correction=0)
        self.scale.fill_(spread if spread > 0 else 1.0)

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """`standard` (n,) in deviations from the mean, and `numbers` (n,)."""
        standard = self.linear(pooled(self.trunk, inputs))[:, 0]
        return SimpleNamespace(standard=standard, numbers=standard * self.scale + self.mean)


class Embedder(Branch):
    """Trunk, and its pooled states at length 1: what is alike is near (Reimers and Gurevych, EMNLP 2019)."""

    def forward(self, **inputs: Tensor) -> Tensor:
        """(n, width)."""
        return nn.functional.normalize(self.features(inputs), dim=1)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(n, width), not scaled."""
        return pooled(self.trunk, inputs)
