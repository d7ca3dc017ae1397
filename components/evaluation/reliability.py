"""Reliability of a classifier's probabilities: before and after calibration, and what abstaining buys.

The reliability diagram and the expected calibration error are those of Guo et al., On calibration of modern
neural networks, ICML 2017; the risk-coverage curve is that of El-Yaniv and Wiener, On the foundations of
noise-free selective classification, JMLR 11, 2010.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from components.evaluation.config import Config
from components.evaluation.intervals import estimates
from components.evaluation.outcomes import Columns
from components.lib.core.bootstrap import Floats, Statistic

BINS = 10  # of confidence, as those of the metric `calibration_error`
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the examples that are answered
TOLD = 0.8  # the one that the sentence is about
ERROR = "calibration_error"


def measured(config: Config, scored: Columns, temperature: float | None) -> dict[str, Any] | None:
    """Calibration error before and after, reliability by confidence, accuracy by coverage.

    Args:
        scored: outcomes with `confidence`, and `uncalibrated`, that at a temperature of 1.
        temperature: of the branch.

    Returns:
        {"temperature", "before", "after", "difference": summaries of the error, "bins", "coverage",
        "sentence"}; None for a task without probabilities.
    """
    if "uncalibrated" not in scored:
        return None
    right = (scored["label"] == scored["prediction"]).astype(np.float64)
    systems = {"after": error(scored["confidence"], right), "before": error(scored["uncalibrated"], right)}
    declared = {ERROR: {"better": "lower", "low": 0.0, "high": 1.0}}
    found, difference, _ = estimates(config, systems, len(right), declared)
    covered = coverage(scored["confidence"], right, config.confidence)
    return {
        "temperature": temperature,
        **{name: each[ERROR] for name, each in found.items()},
        "difference": difference[ERROR],
        "bins": {name: bins(scored[column], right, config.confidence) for name, column in COLUMNS.items()},
        "coverage": covered,
        "sentence": sentence(covered, config.confidence),
    }


COLUMNS = {"before": "uncalibrated", "after": "confidence"}


def placed(confidence: Floats) -> Any:
    """The bin of each confidence."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def error(confidence: Floats, right: Floats) -> Statistic:
    """Expected calibration error: mean distance of confidence from accuracy, by bins."""
    gap = np.eye(BINS)[placed(confidence)] * (right - confidence)[:, None]

    def statistic(weights: Floats) -> dict[str, Floats]:
        return {ERROR: np.abs(weights @ gap).sum(axis=1) / weights.sum(axis=1)}

    return statistic


def bins(confidence: Floats, right: Floats, level: float) -> list[dict[str, Any]]:
    """Examples, mean confidence and accuracy with its interval, of each bin that has examples."""
    found = []
    for place in np.unique(placed(confidence)):
        there = placed(confidence) == place
        entry = {"examples": int(there.sum()), "confidence": round(float(confidence[there].mean()), 6)}
        found.append(entry | share(int(right[there].sum()), int(there.sum()), level))
    return found


def coverage(confidence: Floats, right: Floats, level: float) -> list[dict[str, Any]]:
    """Accuracy of the answers of at least a confidence, by the share of examples that have it."""
    ordered = np.sort(confidence)[::-1]
    found, least = [], {float(ordered[max(0, round(one * len(ordered)) - 1)]) for one in SHARES}
    for bound in sorted(least, reverse=True):
        there = confidence >= bound
        entry = {"share": round(float(there.mean()), 6), "confidence": round(bound, 6)}
        found.append(entry | share(int(right[there].sum()), int(there.sum()), level))
    return found


def share(count: int, of: int, level: float) -> dict[str, float]:
    """A share with the interval of Clopper and Pearson (Biometrika 1934)."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = beta.ppf(tail, count, of - count + 1) if count else 0.0
    high = beta.isf(tail, count + 1, of - count) if count < of else 1.0
    return {"value": round(count / of, 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def sentence(covered: list[dict[str, Any]], level: float) -> str:
    """What to expect of the surest answers, and below which confidence to abstain for it."""
    whole, one = covered[-1], min(covered, key=lambda entry: abs(entry["share"] - TOLD))
    interval = f"{level:.0%} interval {one['low']:.1%} to {one['high']:.1%}"
    if one is whole:
        return "Confidence does not tell the answers apart: abstaining buys nothing."
    return (
        f"The surest {one['share']:.0%} of the answers, of a confidence of {one['confidence']:.2f} or more, "
        f"are right in {one['value']:.1%} ({interval}); all of them in {whole['value']:.1%}."
    )
