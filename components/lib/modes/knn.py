"""k nearest neighbours: labelled samples with similar features vote, nothing is trained (Wu et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.lib.engine.losses import Row
from components.lib.models.probe import LinearProbe, Neighbours
from components.lib.modes import Fit

NEEDS = ("vote",)
STEPS = False
MOVES = False


@dataclass(frozen=True)
class Config:
    """Who votes."""

    neighbours: int = setting(5, "labelled samples that vote", minimum=1)


def learn(fit: Fit) -> tuple[Any, list[Row]]:
    """Keeps the features of all labelled samples."""
    model = fit.model
    reader = LinearProbe(model.config).to(next(model.parameters()).device)
    reader.trunk = model.base_model
    features, classes = fit.task.features(reader, fit.samples)
    return Neighbours.of(model.base_model, model.config, features, classes, fit.options.neighbours), []
