"""Per-example differences of two systems in one metric, by jackknife pseudo-values.

The pseudo-value of example i is n times the metric on all examples minus n - 1 times the metric without i.
For a mean it is exactly what the example contributes; for others, as F1, their average is the metric less
most of its bias. Source: Tukey, Annals of Mathematical Statistics 29, 1958; Efron and Tibshirani (1993),
chapter 11.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.lib.core.bootstrap import CELLS, Floats, Statistic

BINS = 1000  # of a metric's range: differences are rounded down to this grid, towards the worse


def gaps(
    first: Statistic, second: Statistic, n: int, name: str, declared: Mapping[str, Any]
) -> dict[str, Any]:
    """How much better the first is than the second on each example, as a table of values.

    Args:
        first, second: their metrics under weights (r, n).
        n: number of examples.
        name: of the metric.
        declared: its entry in the task's METRICS: `better`, `low` and `high`.

    Returns:
        {"metric", "size": the metric's range, or the second's value where it has none, "bounded", "values",
        "counts"}, the values as shares of `size`, positive where the first is better; None in place of the
        table if the metric is not defined on all but one of the examples.
    """
    low, high = declared["low"], declared["high"]
    bounded = low is not None and high is not None
    size = high - low if bounded else abs(float(second(np.ones((1, n)))[name][0]))
    sign = -1.0 if declared["better"] == "lower" else 1.0
    differences = sign * (pseudo_values(first, n, name) - pseudo_values(second, n, name)) / (size or math.nan)
    found: dict[str, Any] = {"metric": name, "size": size, "bounded": bounded, "values": None, "counts": None}
    if np.isfinite(differences).all():
        # what is left of a whole number by the order of summation does not count
        grid = np.floor(differences * BINS + 1e-6).astype(int)
        values, counts = np.unique(grid, return_counts=True)
        found |= {
            "values": [int(value) / BINS for value in values],
            "counts": [int(count) for count in counts],
        }
    return found


def pseudo_values(statistic: Statistic, n: int, name: str) -> Floats:
    """Of each example, shape (n,)."""
    whole, rows = float(statistic(np.ones((1, n)))[name][0]), max(1, CELLS // n)
    without = []
    for start in range(0, n, rows):
        count = min(rows, n - start)
        weights = np.ones((count, n))
        weights[np.arange(count), start + np.arange(count)] = 0.0
        without.append(statistic(weights)[name])
    values: Floats = n * whole - (n - 1) * np.concatenate(without)
    return values
