"""The bootstrap over examples: how a metric, or the difference of two systems, varies by resampling.

A replicate draws n of the n examples with replacement. It is held as counts, one row a replicate, so that a
metric is computed for a whole chunk of replicates at once (`counts @ correct / n`), and so that two systems
scored on the same examples are resampled together: their difference is a statistic like any other. Source:
Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 13; for paired systems, Koehn,
EMNLP 2004.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Mapping[str, Floats]]  # weights (r, n) -> metric -> (r,)
Drawn = dict[str, tuple[float, Floats]]  # metric -> value on the examples as they are, and on each resampling
Summary = dict[str, Any]  # {"value", "low", "high"}, and "reason" if the value is null

FILE = "replicates.npy"  # of an evaluation: what was drawn of its branch
DIGITS = 6  # beyond it lies the order of summation, which depends on the number of threads
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


def summarized(
    drawn: Drawn, n: int, confidence: float, declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Summary]:
    """The estimate of each metric; `declared`: its range, `low` and `high`, of which each may be None."""
    found = {}
    for name, (value, values) in drawn.items():
        low, high = (declared.get(name, {}).get(end) for end in ("low", "high"))
        found[name] = summary(value, *_bounded(value, values, n, confidence, low, high))
    return found


def paired(
    first: Drawn, second: Drawn, n: int, confidence: float, declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Summary]:
    """The estimate of (first - second) for each metric that both have, from the same resamplings."""
    differences = {}
    for name in (name for name in first if name in second):
        (a, drawn), (b, other) = first[name], second[name]
        low, high = (declared.get(name, {}).get(end) for end in ("low", "high"))
        size = None if low is None or high is None else high - low
        ends = _bounded(a - b, drawn - other, n, confidence, size and -size, size)
        differences[name] = summary(a - b, *ends)
    return differences


def packed(drawn: Drawn) -> bytes:
    """A .npy file: a row a metric, by name; the value on the examples as they are, then the replicates."""
    data = io.BytesIO()
    np.save(data, np.stack([np.concatenate([[drawn[name][0]], drawn[name][1]]) for name in sorted(drawn)]))
    return data.getvalue()


def unpacked(data: bytes, names: Iterable[str]) -> Drawn:
    """What `packed` made of the metrics with these names."""
    rows = np.load(io.BytesIO(data), allow_pickle=False)
    return {name: (float(row[0]), row[1:]) for name, row in zip(sorted(names), rows, strict=True)}


def _bounded(
    value: float, drawn: Floats, n: int, confidence: float, least: float | None, most: float | None
) -> tuple[float, float]:
    """Interval of resampled values, no narrower than what n examples leave open within [least, most]."""
    low, high = interval(drawn, confidence)
    share = unseen(n, confidence)
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
