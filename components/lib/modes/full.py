"""Full fine-tuning: trunk and head learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.engine.losses import Row
from components.lib.modes import Fit

NEEDS = ()
STEPS = True
MOVES = True


@dataclass(frozen=True)
class Config:
    """There is nothing to set."""


def learn(fit: Fit) -> tuple[Any, list[Row]]:
    """Trains all weights."""
    return fit.model, fit.train(fit.model)
