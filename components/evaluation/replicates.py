"""Bootstrap intervals of means and paired differences over seeds and examples (pigeonhole, Satterthwaite).

Runs with the same seed saw the same labelled subset, and all runs were scored on the same examples. So starts
are paired in both, and a replicate resamples both: the examples with replacement, and the seeds. That is the
pigeonhole bootstrap (Owen, Annals of Applied Statistics 2007), which is known to be slightly wide. Seeds are
few. Therefore S - 1 of S are drawn, else the variance of their mean comes out (S - 1) / S too small (Rao and
Wu, JASA 1988), and an interval is the mean and Student's t times the bootstrap's standard error, with the
degrees of freedom of Satterthwaite (1946): S - 1 for what varies between seeds, n - 1 for the rest. Simulated
coverage of 95 % intervals: 0.93 for 3 seeds, 0.95 to 0.99 for 5, where percentiles cover 0.78 and 0.86.

A few examples that all say the same have no variance, and still leave open what unseen ones say: no interval
is narrower than `bootstrap.unseen` allows. Ends are cut to the metric's declared range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.evaluation.config import Config
from components.evaluation.outcomes import Columns, Run
from components.lib.core import bootstrap
from components.lib.core.bootstrap import Floats

POWER = 0.8  # with which a detectable difference would have been shown

Metric = Callable[[Columns, Floats], Floats]  # outcomes, weights (r, n) -> (r,)


@dataclass(frozen=True)
class Estimates:
    """Arrays (K,): values, ends of their intervals, and the minimum detectable effects.

    An effect of `detectable` would have been shown, at this confidence, with a probability of 80 %: it is the
    standard error times t(confidence) + t(0.8). Source: Bloom, Evaluation Review 19(5), 1995.
    """

    value: Floats
    low: Floats
    high: Floats
    detectable: Floats


class Replicates:
    """The metric of every run on the examples as they are, and in each replicate.

    Args:
        config: replicates, confidence, seed.
        runs: outcomes of each (start, labels, seed) on the same examples.
        metric: the primary metric.
        declared: its entry in the task's METRICS: `better`, `low` and `high`.
    """

    def __init__(
        self, config: Config, runs: Mapping[Run, Columns], metric: Metric, declared: Mapping[str, Any]
    ) -> None:
        self.config = config
        self.examples = n = len(next(iter(next(iter(runs.values())).values())))
        ends = zip((declared["low"], declared["high"]), (-math.inf, math.inf), strict=True)
        self.low, self.high = (endless if end is None else float(end) for end, endless in ends)
        self.point = {run: float(metric(columns, np.ones((1, n)))[0]) for run, columns in runs.items()}
        chunks = [
            {run: metric(columns, weights) for run, columns in runs.items()}
            for weights in bootstrap.weights(n, config.replicates, config.seed)
        ]
        self.drawn = {run: np.concatenate([chunk[run] for chunk in chunks]) for run in runs}

    def seeds(self, *cells: tuple[str, int]) -> list[int]:
        """Those that every (start, labels) was run with."""
        found = [{seed for start, count, seed in self.point if (start, count) == cell} for cell in cells]
        return sorted(set.intersection(*found))

    def of(self, start: str, labels: int, seeds: Sequence[int]) -> tuple[Floats, Floats]:
        """The metric of a cell by seed, (S,), and in each replicate, (r, S)."""
        runs = [(start, labels, seed) for seed in seeds]
        return np.array([self.point[run] for run in runs]), np.stack([self.drawn[run] for run in runs], -1)

    def shares(self, seeds: int) -> Floats:
        """Weights (r, S) of the seeds in each replicate; equal for every quantity, so that all are paired."""
        generator, replicates = np.random.default_rng([self.config.seed, 1]), self.config.replicates
        if seeds == 1:
            return np.ones((replicates, 1))
        counts = generator.multinomial(seeds - 1, np.full(seeds, 1 / seeds), replicates)
        shares: Floats = counts / (seeds - 1)
        return shares

    def mean(self, point: Floats, drawn: Floats, *, paired: bool = False) -> Estimates:
        """Of the metric of a cell, or if `paired`, of a difference of two: `point` (S,), `drawn` (r, S)."""
        means = np.einsum("rs,rs->r", drawn, self.shares(len(point)))
        return self.estimates(point[None], point.mean()[None], means[:, None], paired=paired)

    def estimates(self, point: Floats, value: Floats, means: Floats, *, paired: bool) -> Estimates:
        """Intervals of K quantities.

        Args:
            point: (K, S), by seed.
            value: (K,), over the seeds.
            means: (r, K), over the seeds, in each replicate.
            paired: whether they are differences, whose range is as wide on both sides of 0.
        """
        from scipy.special import stdtrit

        seeds, n = point.shape[1], self.examples
        total = np.ma.masked_invalid(means).var(axis=0).filled(np.nan)
        between = np.minimum(point.var(axis=1, ddof=1) / seeds, total) if seeds > 1 else 0.0 * total
        rest = (total - between) * n / max(n - 1, 1)
        squares = between**2 / max(seeds - 1, 1) + rest**2 / max(n - 1, 1)
        freedom = np.full_like(total, np.inf)
        np.divide((between + rest) ** 2, squares, out=freedom, where=squares > 0)
        error, upper = np.sqrt(between + rest), (1.0 + self.config.confidence) / 2.0
        half = stdtrit(freedom, upper) * error
        shown = half + stdtrit(freedom, POWER) * error
        least, most = (self.low - self.high, self.high - self.low) if paired else (self.low, self.high)
        unseen = bootstrap.unseen(n, self.config.confidence)
        below, above = (unseen * np.abs(value - end) if math.isfinite(end) else 0.0 for end in (least, most))
        low, high = value - np.maximum(half, below), value + np.maximum(half, above)
        if math.isfinite(most - least):
            shown = np.minimum(np.maximum(shown, unseen * (most - least) / 2), most)
        return Estimates(value, np.maximum(low, least), np.minimum(high, most), shown)
