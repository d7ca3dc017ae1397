"""The bootstrap over examples: how a metric, or the difference of two systems, varies by resampling.

A replicate draws n of the n examples with replacement. It is held as counts, one row a replicate, so that a
metric is computed for a whole chunk of replicates at once (`counts @ correct / n`), and so that two systems
scored on the same examples are resampled together: their difference is a statistic like any other. Source:
Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 13; for paired systems, Koehn,
EMNLP 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Mapping[str, Floats]]

CELLS = 4_000_000  # counts held at once: 32 MB


def weights(n: int, replicates: int, seed: int) -> Iterator[Floats]:
    """Multinomial counts of `replicates` resamplings of n examples, in chunks of shape (r, n).

    The chunks depend on n alone, so equal arguments give equal counts; every row sums to n.
    """
    if n < 1 or replicates < 1:
        raise ValueError(f"n and replicates must be at least 1, not {n} and {replicates}")
    generator = np.random.default_rng(seed)
    rows = max(1, CELLS // n)
    for start in range(0, replicates, rows):
        count = min(rows, replicates - start)
        drawn = generator.integers(0, n, size=(count, n))
        drawn += np.arange(count)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def replicate(statistic: Statistic, n: int, replicates: int, seed: int) -> dict[str, Floats]:
    """Each metric of `statistic`, called on chunks of (r, n) counts, as an array (replicates,)."""
    parts = [statistic(chunk) for chunk in weights(n, replicates, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def point(statistic: Statistic, n: int) -> dict[str, float]:
    """Each metric on the examples as they are."""
    return {name: float(values[0]) for name, values in statistic(np.ones((1, n))).items()}


def unseen(n: int, confidence: float) -> float:
    """The most that examples of a kind that none of n is may be, as a share of all.

    The upper end of the two-sided interval of Clopper and Pearson (Biometrika 1934) for 0 of n, known as the
    rule of three. No resampling shows what was not drawn, so no interval is narrower than this allows.
    """
    return 1.0 - float(((1.0 - confidence) / 2.0) ** (1.0 / n))


def interval(values: Floats, confidence: float) -> tuple[float, float]:
    """The percentile interval that holds the middle `confidence` of the values.

    Values that are not finite (a metric that a replicate leaves undefined) are left out; NaN if none remain.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return float("nan"), float("nan")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return float(low), float(high)
