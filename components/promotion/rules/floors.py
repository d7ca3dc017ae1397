"""Absolute bounds: a branch below a minimum, or above a maximum, is never promoted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.promotion.verdict import Finding


@dataclass(frozen=True)
class Config:
    """Bounds by metric; "task/metric" is for that task alone, which then must have the metric."""

    minimum: dict[str, float] = setting({}, "metric or task/metric -> least value")
    maximum: dict[str, float] = setting({}, "metric or task/metric -> greatest value")


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Compares values with their bounds; does not apply where no bound concerns the task."""
    broken, numbers = [], {}
    for bounds, word in ((config.minimum, "below"), (config.maximum, "above")):
        for metric, bound in _bounds(bounds, facts):
            value = facts["metrics"].get(metric, {}).get("value")
            numbers[f"{metric} {'>=' if word == 'below' else '<='} {bound:g}"] = value
            if value is None:
                broken.append(f"{metric} was not measured")
            elif value < bound if word == "below" else value > bound:
                broken.append(f"{metric} {value:.4f} is {word} {bound:g}")
    if not numbers:
        return None
    reason = "; ".join(broken) if broken else "every metric is within its bounds: " + ", ".join(numbers)
    return Finding(not broken, reason, numbers)


def _bounds(bounds: Mapping[str, float], facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, bound in sorted(bounds.items()):
        task, _, metric = name.rpartition("/")
        if task == facts["task"] or (not task and metric in facts["metrics"]):
            yield metric, bound
