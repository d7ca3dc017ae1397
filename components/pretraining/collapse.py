"""Signs of collapse: features that say the same of every sample, or along a few directions only.

Measured on pooled features of unit length, as sums over the units of a loss, so that they stand in the
history beside it. Alignment and uniformity: Wang and Isola, ICML 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PARTS = ("feature_std", "effective_rank", "alignment", "uniformity")


@torch.no_grad()
def signs(first: Tensor, second: Tensor, weight: float) -> dict[str, Tensor]:
    """Means of this batch, times `weight`.

    feature_std: of a coordinate, times the root of the width: 1 if spread evenly, 0 if collapsed.
    effective_rank: (sum of eigenvalues)^2 / sum of their squares, of the covariance: from 1 to the width.
    alignment: mean squared distance of the two views: 0 if they agree.
    uniformity: log of the mean of exp(-2 d^2) over pairs of samples: 0 if collapsed, down to -4.

    Args:
        first, second: (n, width) pooled features of two views.
    """
    with torch.autocast(first.device.type, enabled=False):
        one, two = (nn.functional.normalize(view.float(), dim=1) for view in (first, second))
        centred = one - one.mean(dim=0)
        trace = centred.square().sum()
        products = (centred @ centred.T).square().sum().clamp(min=1e-12)
        spread = centred.square().mean(dim=0).sqrt().mean() * one.shape[1] ** 0.5
        apart = (2 - 2 * one @ one.T).fill_diagonal_(float("inf"))
        pairs = max(1, len(one) * (len(one) - 1))
        values = (
            spread,
            trace.square() / products,
            (one - two).square().sum(dim=1).mean(),
            (apart.mul(-2).exp().sum() / pairs).clamp(min=1e-12).log(),
        )
    return {name: weight * value for name, value in zip(PARTS, values, strict=True)}
