"""Non-inferiority: the challenger is worse than the champion by less than a margin, with confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.promotion.verdict import Finding, compare


@dataclass(frozen=True)
class Config:
    """The rule for retraining: new data must not make the model worse. Source: ICH E9, 1998, 3.3.2."""

    margin: float = setting(
        0.01,
        "greatest loss that is accepted, as a share of the metric's range, or of the champion's value",
        minimum=0.0,
    )
    metric: str = setting("", "the metric to compare; empty: the task's primary one")


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Passes if the paired interval of the gain lies above -margin."""
    return compare(facts, config.metric, -config.margin, "within {} of the champion or better")
