"""Label efficiency: what the trunk adds over a random start, for each number of labels.

Runs with the same seed saw the same labelled subset with the same budget, and all runs were scored on the
same examples. So trunk and random start are paired in both, and a replicate resamples both: the examples
with replacement, and the seeds. That is the pigeonhole bootstrap (Owen, Annals of Applied Statistics 2007),
which is known to be slightly wide. Seeds are few. Therefore S - 1 of S are drawn, else the variance of their
mean comes out (S - 1) / S too small (Rao and Wu, JASA 1988), and an interval is the mean and Student's t
times the bootstrap's standard error, with the degrees of freedom of Satterthwaite (1946). Simulated coverage
of 95 % intervals: 0.93 for 3 seeds, 0.95 to 0.99 for 5, where percentiles cover 0.78 and 0.86.

Means are cut to the range that the metric declares, gains to its width; a gain is positive where the trunk is
better, whichever direction that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from components.evaluation import bootstrap
from components.evaluation.config import Config
from components.evaluation.intervals import Floats, Summary, summary
from components.evaluation.outcomes import Columns, Run

STARTS = ("trunk", "random")

Metric = Callable[[Columns, Floats], Floats]  # outcomes, weights (r, n) -> (r,)


def efficiency(
    config: Config, runs: dict[Run, Columns], metric: Metric, declared: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Means, paired gains and the area under the gain, each with its interval.

    Args:
        config: replicates, confidence, seed.
        runs: outcomes of each (start, labels, seed) on the same examples.
        metric: the primary metric.
        declared: its entry in the task's METRICS: `better`, `low` and `high`.

    Returns:
        {"labels", "seeds", "left_out", "trunk", "random", "gain", "area"}, or None where no seed was run
        from both starts at every number of labels. `area` is the mean of the gain over log(labels).
    """
    labels = sorted({run[1] for run in runs})
    every = sorted({run[2] for run in runs})
    seeds = [seed for seed in every if all((s, n, seed) in runs for s in STARTS for n in labels)]
    if not seeds:
        return None
    grid = [[[runs[start, count, seed] for seed in seeds] for count in labels] for start in STARTS]
    point, drawn = _values(config, grid, metric)
    intervals = _Intervals(config, len(seeds), config.replicates)
    bounds = ((declared["low"], -1), (declared["high"], 1))
    low, high = (math.copysign(math.inf, sign) if end is None else end for end, sign in bounds)
    means = [intervals.of(point[i], drawn[:, i], low, high) for i in range(len(STARTS))]
    sign = 1.0 if declared["better"] == "higher" else -1.0
    gain, gains = sign * (point[0] - point[1]), sign * (drawn[:, 0] - drawn[:, 1])
    return {
        "labels": labels,
        "seeds": seeds,
        "left_out": [seed for seed in every if seed not in seeds],
        "trunk": [{**entry, "mean": entry["value"]} for entry in means[0]],
        "random": [{**entry, "mean": entry["value"]} for entry in means[1]],
        "gain": intervals.of(gain, gains, low - high, high - low),
        "area": _area(intervals, labels, gain, gains, high - low),
    }


def area(labels: list[int], gain: Floats) -> Floats:
    """Trapezoid rule over log(labels), divided by its length; `gain` is (..., L, S), the result (..., S)."""
    x = np.log(np.asarray(labels, dtype=np.float64))
    widths = np.diff(x)
    middles = (gain[..., 1:, :] + gain[..., :-1, :]) / 2
    return np.einsum("...ls,l->...s", middles, widths) / widths.sum()


def _area(intervals: _Intervals, labels: list[int], gain: Floats, gains: Floats, most: float) -> Summary:
    if len(labels) < 2:
        nothing = float("nan")
        return summary(nothing, nothing, nothing, "an area needs at least two numbers of labels")
    return intervals.of(area(labels, gain)[None], area(labels, gains)[:, None], -most, most)[0]


def _values(config: Config, grid: list[list[list[Columns]]], metric: Metric) -> tuple[Floats, Floats]:
    """The metric of every run: (start, labels, seed), and in each replicate: (r, start, labels, seed)."""

    def table(weights: Floats) -> Floats:
        return np.array([[[metric(run, weights) for run in seeds] for seeds in start] for start in grid])

    n = len(next(iter(grid[0][0][0].values())))
    chunks = [table(weights) for weights in bootstrap.weights(n, config.replicates, config.seed)]
    drawn = np.moveaxis(np.concatenate(chunks, axis=-1), -1, 0)
    return table(np.ones((1, n)))[..., 0], drawn


class _Intervals:
    """Intervals of means over seeds; the same seeds are drawn for every quantity, so gains stay paired."""

    def __init__(self, config: Config, seeds: int, replicates: int) -> None:
        self.confidence = config.confidence
        generator = np.random.default_rng([config.seed, 1])
        if seeds > 1:
            counts = generator.multinomial(seeds - 1, np.full(seeds, 1 / seeds), replicates)
            self.shares: Floats = counts / (seeds - 1)
        else:
            self.shares = np.ones((replicates, 1))

    def of(self, point: Floats, drawn: Floats, least: float, most: float) -> list[Summary]:
        """`point` is (L, S), `drawn` (r, L, S); one summary for each of L, within [least, most]."""
        means = np.einsum("rls,rs->rl", drawn, self.shares)
        return [self._one(point[i], means[:, i], least, most) for i in range(len(point))]

    def _one(self, point: Floats, means: Floats, least: float, most: float) -> Summary:
        """`point` (S,): the metric of each seed. `means` (r,): the resampled mean."""
        from scipy.special import stdtrit

        value, finite = float(point.mean()), means[np.isfinite(means)]
        variance = float(finite.var()) if finite.size else float("nan")
        upper = (1.0 + self.confidence) / 2.0
        half = float(stdtrit(_freedom(point, variance), upper)) * math.sqrt(variance)
        return summary(value, max(value - half, least), min(value + half, most))


def _freedom(point: Floats, variance: float) -> float:
    """Satterthwaite's: S - 1 if all the variance is between seeds, endless if none is."""
    seeds = len(point)
    between = min(float(point.var(ddof=1)) / seeds, variance) if seeds > 1 else 0.0
    return (seeds - 1) * (variance / between) ** 2 if between > 0.0 else math.inf
