"""Linear probe: features of the frozen trunk, computed once, and logistic regression on them.

With few labels that is the usual practice: no rate or number of steps has to be chosen, and the optimum is
found. The strength of the regularisation is chosen on held-out training labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.core.settings import setting
from components.lib.engine.losses import Row
from components.lib.modes import Fit

NEEDS = ("linear_probe",)
STEPS = False
MOVES = False
FOLDS = 5  # of the labels, each of which judges the regularisation once


@dataclass(frozen=True)
class Config:
    """The regularisation that is tried."""

    inverse_penalties: tuple[float, ...] = setting(
        (0.001, 0.01, 0.1, 1.0, 10.0),
        "values of scikit-learn's C; held-out training labels choose",
        minimum=1e-9,
        maximum=1e9,
    )


def learn(fit: Fit) -> tuple[Any, list[Row]]:
    """Fits the probe; the trunk stays as it is."""
    branch = fit.task.Probe(fit.model.config).to(next(fit.model.parameters()).device)
    branch.trunk = fit.model.base_model
    features, classes = fit.task.features(branch, fit.samples)
    scale = 1 / features.std(dim=0, correction=0).clamp(min=1e-6)
    branch.mean.copy_(features.mean(dim=0))
    branch.scale.copy_(scale)
    normal = ((features - branch.mean) * branch.scale).cpu().numpy().astype(np.float64)
    regression = _chosen(normal, classes.cpu().numpy(), fit.options.inverse_penalties, fit.seed)
    _copy(regression, branch.linear.weight, branch.linear.bias)
    return branch.eval(), []


def _chosen(features: Any, classes: Any, penalties: tuple[float, ...], seed: int) -> Any:
    """The regression with the penalty that predicts held-out labels best, fitted on all of them."""
    from sklearn.linear_model import LogisticRegression

    def fitted(penalty: float, rows: Any) -> Any:
        if len(np.unique(classes[rows])) < 2:
            return int(classes[rows][0])
        return LogisticRegression(C=penalty, max_iter=1000).fit(features[rows], classes[rows])

    order = np.random.default_rng(seed).permutation(len(classes))
    folds = [fold for fold in np.array_split(order, FOLDS) if 0 < len(fold) < len(order)]
    scores = np.zeros(len(penalties))
    for fold in folds if len(penalties) > 1 else ():
        rest = np.setdiff1d(order, fold)
        for number, penalty in enumerate(penalties):
            scores[number] += _right(fitted(penalty, rest), features[fold], classes[fold])
    return fitted(penalties[int(np.argmax(scores))], order)


def _right(regression: Any, features: Any, classes: Any) -> int:
    guessed = regression if isinstance(regression, int) else regression.predict(features)
    return int((classes == guessed).sum())


@torch.no_grad()
def _copy(regression: Any, weight: Tensor, bias: Tensor) -> None:
    """Into a linear map over all classes; one that no label names is never predicted."""
    from components.lib.models.probe import ABSENT

    weight.zero_()
    bias.fill_(ABSENT)
    if isinstance(regression, int):
        bias[regression] = 0.0
        return
    rows, offsets = regression.coef_, regression.intercept_
    if len(rows) == 1:  # of two classes scikit-learn keeps the second alone
        rows, offsets = np.concatenate([0 * rows, rows]), np.concatenate([0 * offsets, offsets])
    for number, row, offset in zip(regression.classes_, rows, offsets, strict=True):
        weight[int(number)] = torch.as_tensor(row, dtype=weight.dtype)
        bias[int(number)] = float(offset)
