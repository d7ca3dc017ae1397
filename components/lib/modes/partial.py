"""Partial fine-tuning: the head and the last layers of the trunk learn, the others are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.lib.engine.losses import Row
from components.lib.models import classifiers
from components.lib.modes import Fit

NEEDS = ()
STEPS = True
MOVES = True


@dataclass(frozen=True)
class Config:
    """How much is frozen."""

    layers: int = setting(
        1, "last layers of the trunk that learn beside the head; 0: the head alone", minimum=0
    )


def learn(fit: Fit) -> tuple[Any, list[Row]]:
    """Freezes, then trains; raises ConfigError if the trunk has fewer layers."""
    classifiers.freeze(fit.model, fit.options.layers)
    return fit.model, fit.train(fit.model)
