"""Classifiers on the features of a frozen trunk: a linear probe, and the vote of the nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn

from components.lib.models.branch import Branch, pooled, width


class LinearProbe(Branch):
    """Frozen trunk, standardised features of each sample, and a linear map that is not trained by steps."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        size = width(config)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.linear = nn.Linear(size, len(config.id2label))

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(n, width)."""
        return pooled(self.trunk, inputs)

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """`logits` (n, classes)."""
        return SimpleNamespace(logits=self.linear((self.features(inputs) - self.mean) * self.scale))


class LinearTagger(LinearProbe):
    """A linear probe of every token, whose `logits` are (n, L, classes)."""

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(n, L, width)."""
        hidden: Tensor = self.trunk(**inputs).last_hidden_state.float()
        return hidden


class Neighbours(Branch):
    """Class by the vote of the k nearest labelled samples (Wu et al., CVPR 2018).

    Near is what has a similar direction: scikit-learn's KNeighborsClassifier with metric="cosine".
    """

    def __init__(self, config: Any, count: int, size: int) -> None:
        super().__init__(config)
        self.bank: Tensor
        self.classes: Tensor
        self.voters: Tensor
        self.register_buffer("bank", torch.zeros(count, size))
        self.register_buffer("classes", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("voters", torch.tensor(min(1, count)))

    @classmethod
    def of(cls, trunk: nn.Module, config: Any, features: Tensor, classes: Tensor, voters: int) -> Self:
        """Keeps features (n, width) and their classes (n,); at most all of them vote."""
        bank = nn.functional.normalize(features, dim=1)
        one = cls(config, *bank.shape).to(bank.device)
        one.trunk, one.bank, one.classes = trunk, bank, classes
        one.voters.fill_(min(voters, len(bank)))
        return one.eval()

    @classmethod
    def fitting(cls, config: Any, weights: Mapping[str, Tensor]) -> Self:
        """One that holds as many features."""
        return cls(config, *weights["bank"].shape)

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """`logits` (n, classes): logarithms of the shares of the votes."""
        similar = nn.functional.normalize(pooled(self.trunk, inputs), dim=1) @ self.bank.T
        nearest = self.classes[similar.topk(int(self.voters), dim=1).indices]
        votes = nn.functional.one_hot(nearest, len(self.config.id2label)).sum(dim=1)
        return SimpleNamespace(logits=(votes / self.voters).log())


CLASSES = {kind.__name__: kind for kind in (LinearProbe, LinearTagger, Neighbours)}
