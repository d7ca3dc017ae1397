"""The price of a label: how many labels another start needs for the same, with its interval.

The learning curve of the other start is interpolated over the logarithm of the number of labels, after its
means were made monotone (isotonic regression by the min-max formula: Robertson, Wright and Dykstra, Order
Restricted Statistical Inference, 1988), in each replicate anew. The interval is the set of numbers of labels
at which the paired difference of the two starts is not shown to differ from 0: a test turned around, as
Fieller (1954) did for ratios. So it has the coverage of the differences, and is open where the measured range
ends: "more than 1,000".
"""

from __future__ import annotations

import itertools

import numpy as np

from components.evaluation.replicates import Estimates, Replicates
from components.lib.core.bootstrap import Floats, Summary

STEPS = 40  # of the grid on which the other start's curve is read, between two numbers of labels


def price(made: Replicates, of: str, over: str, count: int, labels: list[int], sign: float) -> Summary | None:
    """How many labels `over` needs to be as good as `of` with `count`.

    Args:
        labels: the numbers of labels of `over`, ascending and above 0.
        sign: -1 where the metric is better when it is lower.

    Returns:
        {"of", "over", "count", "value", "low", "high", "beyond"}: `beyond` holds "<" or ">" for what lies
        outside the measured range, and stands at its end. None if the curve has no two points, no seed is
        common to all, or a value is not defined.
    """
    seeds = made.seeds((of, count), *((over, other) for other in labels))
    if len(labels) < 2 or not seeds:
        return None
    x = np.log(labels)
    grid = np.concatenate(
        [np.linspace(a, b, STEPS, endpoint=False) for a, b in itertools.pairwise(x)] + [x[-1:]]
    )
    cells = [made.of(start, at, seeds) for start, at in [(of, count), *((over, other) for other in labels)]]
    point = sign * np.stack([cell for cell, _ in cells])  # (1 + L, S)
    if not np.isfinite(point).all():
        return None
    drawn = sign * np.stack([made.shares(len(seeds)) * cell for _, cell in cells]).sum(axis=-1)  # (1 + L, r)
    target, curve = point[0].mean(), isotonic(point[1:].mean(axis=-1))
    at = interpolation(x, grid)  # (G, L)
    value, means = target - at @ curve, drawn[0][:, None] - isotonic(drawn[1:].T) @ at.T
    found = made.estimates(point[0] - at @ point[1:], value, means, paired=True)
    low, high = _interval(grid, found, labels.index(count) * STEPS if count in labels else None)
    ends = {"value": solve(x, curve, target), "low": low, "high": high}
    held = {name: round(float(np.exp(np.clip(end, x[0], x[-1]))), 1) for name, end in ends.items()}
    beyond = {name: "<" if end < 0 else ">" for name, end in ends.items() if np.isinf(end)}
    return {"of": of, "over": over, "count": count, **held, "beyond": beyond}


def _interval(grid: Floats, found: Estimates, here: int | None) -> tuple[float, float]:
    """Ends of the part of the grid where the difference is not shown; -inf or inf if it has none.

    They are the last of the first places with a positive difference, and the first of the last negative ones.

    Args:
        here: place of as many labels. Its runs are paired by seed, so what is shown there is shown nowhere
            better, and holds for all places beyond, as the curve does not fall.
    """
    better, worse = found.low > 0, found.high < 0
    first, last = int(np.argmin([*better, False])), len(grid) - int(np.argmin([*worse[::-1], False]))
    if here is not None:
        first = max(first, here + 1) if better[here] else first
        last = min(last, here) if worse[here] else last
    low = -np.inf if first == 0 else np.inf if first == len(grid) else grid[first - 1]
    high = np.inf if last == len(grid) else -np.inf if last == 0 else grid[last]
    return float(low), float(high)


def isotonic(values: Floats) -> Floats:
    """The nearest non-decreasing sequence along the last axis: max over a <= i, min over b >= i of means."""
    size = values.shape[-1]
    means = np.full((size, size, *values.shape[:-1]), np.nan)  # of values[a : b + 1]
    for a, b in itertools.combinations_with_replacement(range(size), 2):
        means[a, b] = values[..., a : b + 1].mean(axis=-1)
    return np.stack([means[: i + 1, i:].min(axis=1).max(axis=0) for i in range(size)], axis=-1)


def interpolation(x: Floats, grid: Floats) -> Floats:
    """The matrix (G, L) that reads values at `x` (L,), joined by lines, at `grid` (G,)."""
    return np.stack([np.interp(grid, x, unit) for unit in np.eye(len(x))], axis=-1)


def solve(x: Floats, curve: Floats, target: float) -> float:
    """The least place at which a non-decreasing curve reaches `target`; -inf or inf outside of `x`."""
    if target < curve[0] or target > curve[-1]:
        return -np.inf if target < curve[0] else np.inf
    right = int(np.argmax(curve >= target))
    left = max(right - 1, 0)
    rise = curve[right] - curve[left]
    share = (target - curve[left]) / rise if rise > 0 else 0.0
    return float(x[left] + share * (x[right] - x[left]))
