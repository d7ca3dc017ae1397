"""Superiority: the challenger is better than the champion, with confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.promotion.verdict import Finding, compare


@dataclass(frozen=True)
class Config:
    """The rule for a new architecture or objective: a change must pay."""

    margin: float = setting(
        0.0,
        "gain that is not enough, as a share of the metric's range, or of the champion's value",
        minimum=0.0,
    )
    metric: str = setting("", "the metric to compare; empty: the task's primary one")


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Passes if the paired interval of the gain lies above the margin."""
    return compare(facts, config.metric, config.margin, "better than the champion by more than {}")
