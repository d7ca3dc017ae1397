"""Metrics of systems that were scored on the same examples, with intervals and paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluation import bootstrap
from components.evaluation.config import Config

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], dict[str, Floats]]  # weights (r, n) -> metric -> (r,)
Summary = dict[str, Any]  # {"value", "low", "high"}, and "reason" if the value is null

DIGITS = 6  # beyond it lies the order of summation, which depends on the number of threads


def estimates(
    config: Config, systems: dict[str, Statistic], n: int, declared: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Summary]], dict[str, Summary]]:
    """Every metric of every system, and of the first minus the second, from the same resamplings.

    Args:
        config: replicates, confidence, seed.
        systems: name -> its metrics under weights; the challenger first.
        n: number of examples.
        declared: metric -> its entry in the task's METRICS, with `low` and `high`; some metrics have none.

    Returns:
        system -> metric -> summary, and metric -> summary of the paired difference (empty for one system).
    """

    def together(weights: Floats) -> dict[str, Floats]:
        return {f"{system}/{name}": v for system, f in systems.items() for name, v in f(weights).items()}

    values = bootstrap.point(together, n)
    drawn = bootstrap.replicate(together, n, config.replicates, config.seed)
    summaries: dict[str, dict[str, Summary]] = {system: {} for system in systems}
    for full, value in values.items():
        system, _, name = full.partition("/")
        low, high = (declared.get(name, {}).get(end) for end in ("low", "high"))
        summaries[system][name] = summary(value, *_interval(config, value, drawn[full], n, low, high))
    if len(systems) < 2:
        return summaries, {}
    first, second = list(systems)[:2]
    differences = {}
    for name in (name for name in summaries[first] if name in summaries[second]):
        a, b = f"{first}/{name}", f"{second}/{name}"
        low, high = (declared.get(name, {}).get(end) for end in ("low", "high"))
        size = None if low is None or high is None else high - low
        value, gaps = values[a] - values[b], drawn[a] - drawn[b]
        differences[name] = summary(value, *_interval(config, value, gaps, n, size and -size, size))
    return summaries, differences


def _interval(
    config: Config, value: float, drawn: Floats, n: int, least: float | None, most: float | None
) -> tuple[float, float]:
    """Of the resampled values, but no narrower than what n examples leave open within [least, most]."""
    low, high = bootstrap.interval(drawn, config.confidence)
    share = bootstrap.unseen(n, config.confidence)
    if least is not None:
        low = min(low, value - share * (value - least))
    if most is not None:
        high = max(high, value + share * (most - value))
    return low, high


def summary(value: float, low: float, high: float, reason: str = "") -> Summary:
    """The JSON form of an estimate; an undefined one is null with a reason, never 0."""
    if not math.isfinite(value):
        reason = reason or "not defined on these examples: there is nothing to divide by"
        return {"value": None, "low": None, "high": None, "reason": reason}
    ends = [round(end, DIGITS) if math.isfinite(end) else None for end in (low, high)]
    return {"value": round(value, DIGITS), "low": ends[0], "high": ends[1]}
