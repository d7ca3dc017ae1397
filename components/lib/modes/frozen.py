"""Linear probe: features of the frozen trunk, computed once, and logistic regression on them.

With few labels that is the usual practice: no rate or number of steps has to be chosen, and the optimum is
found. The strength of the regularisation is chosen on held-out training labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from components.lib.core.settings import setting
from components.lib.engine.losses import Row
from components.lib.engine.threads import one_thread
from components.lib.models.linear import Linear, solve
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


@torch.no_grad()
def learn(fit: Fit) -> tuple[Any, list[Row]]:
    """Fits the probe; the trunk stays as it is."""
    branch = fit.task.Probe(fit.model.config).to(next(fit.model.parameters()).device)
    branch.trunk = fit.model.base_model
    features, classes = fit.task.features(branch, fit.samples)
    scale = 1 / features.std(dim=0, correction=0).clamp(min=1e-6)
    branch.mean.copy_(features.mean(dim=0))
    branch.scale.copy_(scale)
    normal = ((features - branch.mean) * branch.scale).cpu().numpy().astype(np.float64)
    count = branch.linear.out_features
    with one_thread():
        found = _chosen(normal, classes.cpu().numpy(), count, fit.options.inverse_penalties, fit.seed)
    branch.linear.weight.copy_(torch.as_tensor(found.weights.T))
    branch.linear.bias.copy_(torch.as_tensor(found.offsets))
    return branch.eval(), []


def _chosen(features: Any, classes: Any, count: int, penalties: tuple[float, ...], seed: int) -> Linear:
    """The regression with the penalty that predicts held-out labels best, fitted on all of them."""
    order = np.random.default_rng(seed).permutation(len(classes))
    folds = [fold for fold in np.array_split(order, FOLDS) if 0 < len(fold) < len(order)]
    scores = np.zeros(len(penalties))
    for fold in folds if len(penalties) > 1 else ():
        rest = np.setdiff1d(order, fold)
        for number, penalty in enumerate(penalties):
            answers = solve(features[rest], classes[rest], count, penalty).answers(features[fold])
            scores[number] += (answers.argmax(axis=1) == classes[fold]).sum()
    return solve(features, classes, count, penalties[int(np.argmax(scores))])
