"""Calibration: bounds the expected calibration error, and its rise over the champion's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.promotion.verdict import Finding

METRIC = "calibration_error"


@dataclass(frozen=True)
class Config:
    """Bounds on the expected calibration error (lower is better). Source: Guo et al., ICML 2017."""

    maximum: float = setting(0.2, "greatest calibration error", minimum=0.0, maximum=1.0)
    margin: float = setting(0.05, "greatest rise over the champion's", minimum=0.0, maximum=1.0)


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Does not apply to a task that has no calibration error."""
    value = facts["metrics"].get(METRIC, {}).get("value")
    if value is None:
        return None
    numbers = {"value": value, "maximum": config.maximum}
    if value > config.maximum:
        return Finding(False, f"calibration error {value:.4f} is above {config.maximum:g}", numbers)
    rise = (facts.get("difference") or {}).get(METRIC, {}).get("high")
    if facts.get("champion") and rise is not None:
        numbers |= {"rise, upper end": rise, "margin": config.margin}
        if rise > config.margin:
            reason = f"calibration error may rise by {rise:.4f} over the champion's, bound {config.margin:g}"
            return Finding(False, reason, numbers)
    return Finding(True, f"calibration error {value:.4f} is at most {config.maximum:g}", numbers)
