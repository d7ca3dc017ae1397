"""Diagnostics of representation collapse: features that are constant, or vary along a few directions only.

Measured on L2-normalised pooled features, as sums over the units of a loss, so that they stand in the history
beside it. Alignment and uniformity: Wang and Isola, ICML 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SPREAD = ("feature_std", "effective_rank", "uniformity")
PARTS = (*SPREAD, "alignment")


@torch.no_grad()
def spread(features: Tensor, weight: float) -> dict[str, Tensor]:
    """Spread of the features: means of this batch, times `weight`.

    feature_std: of a coordinate, times the root of the width: 1 if spread evenly, 0 if collapsed.
    effective_rank: (sum of eigenvalues)^2 / sum of their squares, of the covariance: from 1 to the width.
    uniformity: log of the mean of exp(-2 d^2) over pairs of samples: 0 if collapsed, down to -4.

    Args:
        features: (n, width), pooled.
    """
    with torch.autocast(features.device.type, enabled=False):
        unit = nn.functional.normalize(features.float(), dim=1)
        centred = unit - unit.mean(dim=0)
        products = (centred @ centred.T).square().sum().clamp(min=1e-12)
        deviation = centred.square().mean(dim=0).sqrt().mean() * unit.shape[1] ** 0.5
        distances = (2 - 2 * unit @ unit.T).fill_diagonal_(float("inf"))
        pairs = max(1, len(unit) * (len(unit) - 1))
        near = distances.mul(-2).exp().sum() / pairs
    values = (deviation, centred.square().sum().square() / products, near.clamp(min=1e-12).log())
    return {name: weight * value for name, value in zip(SPREAD, values, strict=True)}


@torch.no_grad()
def signs(first: Tensor, second: Tensor, weight: float) -> dict[str, Tensor]:
    """The spread of the first views, and alignment: the mean squared distance of the two, 0 if they agree."""
    one, two = (nn.functional.normalize(view.float(), dim=1) for view in (first, second))
    alignment = (one - two).square().sum(dim=1).mean()
    return {**spread(first, weight), "alignment": weight * alignment}
