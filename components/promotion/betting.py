"""Evidence that holds however often one looks: betting against each branch, an error spent over decisions.

A branch is scored against a fixed anchor on n frozen examples. Under the hypothesis that its mean difference
is -margin or less, a capital of 1 that bets on each example, by factors 1 + stake * (difference + margin), is
at most 1 on average; so the hypothesis is rejected at a level alpha where the capital reaches 1 / alpha,
whatever the shape of the differences. Stakes are a fixed grid whose capitals are averaged, so that the order
of the examples does not matter. Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables
by betting, JRSS B 86, 2024.

Decision k of a model gets the level error / (k (k + 1)). These sum to `error`, so the chance of even one
wrong promotion in a sequence of any length is at most `error`, whenever one stops to look (a union bound).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

STAKES = np.geomspace(0.02, 0.9, 24)  # as shares of the largest stake that cannot lose everything
POWER = 0.8
NORMAL = NormalDist()
FAR = 1_000_000  # decisions


def level(error: float, decision: int) -> float:
    """What decision number `decision` (from 1) may spend of `error`."""
    return error / (decision * (decision + 1))


def doubt(gaps: Mapping[str, Any], margin: float) -> float:
    """Bound on the p-value of: the mean difference is `margin` or more below zero.

    The inverse of the capital for a metric with a range. A metric without one has no largest loss: there it
    is Student's t, which holds for many examples.

    Args:
        gaps: of the evaluation: `values` as shares of `size`, `counts`, `bounded`.
        margin: as a share of `size`; 0 asks whether the mean is above zero.
    """
    values, counts = np.array(gaps["values"]), np.array(gaps["counts"], dtype=float)
    if not gaps["bounded"]:
        return _student(values, counts, margin)
    worst = min(-1.0, float(values.min()))
    stakes = STAKES / -(worst + margin)
    logs = np.log1p(stakes[:, None] * (values + margin)) @ counts
    capital = logs.max() + math.log(float(np.mean(np.exp(logs - logs.max()))))
    return math.exp(-max(capital, 0.0))


def reversed_gaps(gaps: Mapping[str, Any]) -> dict[str, Any]:
    """The same differences, seen from the other model."""
    return {**gaps, "values": [-value for value in gaps["values"]]}


def examples(gaps: Mapping[str, Any], margin: float, alpha: float, power: float = POWER) -> int:
    """How many examples show at level alpha, with a power, that an equal model is within the margin.

    By the normal approximation, with the spread of these differences about zero; at least as many as bets
    need on examples that do not differ at all.
    """
    if not margin:
        return 0
    counts = np.array(gaps["counts"], dtype=float)
    square = float(np.array(gaps["values"]) ** 2 @ counts / counts.sum())
    spread = square * ((NORMAL.inv_cdf(power) - NORMAL.inv_cdf(alpha)) / margin) ** 2
    alike = math.log(len(STAKES) / alpha) / math.log1p(STAKES[-1] * margin / (1 - margin))
    return math.ceil(max(spread, alike if gaps["bounded"] and margin < 1 else 0.0))


def left(gaps: Mapping[str, Any], margin: float, alpha: float, decision: int) -> int | None:
    """Decisions after this one, which has the level `alpha`, in which these examples are enough.

    That is, they show with a power of 80 % that an equal model is within the margin. None if there is no end
    in sight: more than FAR.
    """
    n = sum(gaps["counts"])

    def enough(number: int) -> bool:
        later = alpha * decision * (decision + 1) / (number * (number + 1))
        return examples(gaps, margin, later) <= n

    if not enough(decision):
        return 0
    low, high = decision, FAR
    if enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low - decision


def _student(values: Any, counts: Any, margin: float) -> float:
    from scipy.stats import t

    n = counts.sum()
    mean = float(values @ counts / n)
    error = math.sqrt(max(float((values - mean) ** 2 @ counts), 0.0) / max(n - 1, 1) / n)
    if error == 0.0:
        return 0.0 if mean > -margin else 1.0
    return float(t.sf((mean + margin) / error, max(n - 1, 1)))
