"""Classes by the nearest labelled images: what a trunk knows without any training (Wu et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn

from components.lib.models.vision.branch import Branch


class Neighbours(Branch):
    """The trunk, and the features of labelled images; each of the k nearest has a vote.

    Near is what has a similar direction. It is scikit-learn's KNeighborsClassifier with metric="cosine".
    """

    def __init__(self, config: Any, count: int, width: int) -> None:
        super().__init__(config)
        self.bank: Tensor
        self.classes: Tensor
        self.voters: Tensor
        self.register_buffer("bank", torch.zeros(count, width))
        self.register_buffer("classes", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("voters", torch.tensor(min(1, count)))

    @classmethod
    @torch.no_grad()
    def of(cls, trunk: nn.Module, config: Any, batches: list[tuple[Tensor, Tensor]], voters: int) -> Self:
        """Learns pixels (n, C, H, W) and their classes (n,) by heart; at most all of them vote."""
        trunk.eval()
        features = torch.cat([features_of(trunk, pixels) for pixels, _ in batches])
        one = cls(config, *features.shape).to(features.device)
        one.trunk = trunk
        one.bank, one.classes = features, torch.cat([classes for _, classes in batches])
        one.voters.fill_(min(voters, len(features)))
        return one.eval()

    @classmethod
    def fitting(cls, config: Any, weights: Mapping[str, Tensor]) -> Self:
        """One that holds as many features."""
        return cls(config, *weights["bank"].shape)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        """`logits` (n, classes): logarithms of the shares of the votes."""
        similar = features_of(self.trunk, pixel_values) @ self.bank.T
        nearest = self.classes[similar.topk(int(self.voters), dim=1).indices]
        votes = nn.functional.one_hot(nearest, len(self.config.id2label)).sum(dim=1)
        return SimpleNamespace(logits=(votes / self.voters).log())


def features_of(trunk: Any, pixels: Tensor) -> Tensor:
    """(n, C, H, W) -> (n, width) of length 1: the mean over places, as classifiers pool."""
    hidden = trunk(pixel_values=pixels).last_hidden_state.float()
    pooled = hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))
    return nn.functional.normalize(pooled, dim=1)
