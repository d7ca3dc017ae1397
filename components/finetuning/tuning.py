"""Fair rates: each start, with each number of labels, gets the rate that suits it, by one rule and budget.

A random start may want a higher rate than a trunk, and one rate for both would count that as a gain of
pre-training. So every rate is tried from every start with the labels of every seed, of which a fifth is held
out to judge it. The test split has no part in it, and nobody sees more labels than its run may.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np

from components.finetuning.config import MODES, Config
from components.finetuning.fitting import Result, Spec
from components.lib.core import plugins

Rates = dict[tuple[str, int], float]  # start and number of labels -> rate


def trials(config: Config, labels: list[int]) -> list[Spec]:
    """The runs that try rates; none if there is no choice, or but one label: then it is the first rate."""
    runs = product(labels, config.starts, config.learning_rates, config.seeds)
    several = len(config.learning_rates) > 1 and plugins.declared(MODES, config.mode).constants["STEPS"]
    return [
        Spec(start, count, seed, rate, trial=True)
        for count, start, rate, seed in runs
        if several and count > 1
    ]


def chosen(
    config: Config, task: Any, labels: list[int], scores: Iterable[tuple[Spec, float]]
) -> tuple[Rates, list[dict[str, Any]]]:
    """The best rate for each start and number of labels, and what every rate scored on held-out labels.

    Args:
        task: the plugin, which says whether more of its metric is better.
        scores: trials and their primary metric; one that is not defined is worse than any other.

    Returns:
        The mean over seeds decides; of equal ones the rate that is named first.
    """
    found: dict[tuple[str, int, float], list[float]] = {}
    for spec, score in scores:
        found.setdefault((spec.start, spec.labels, spec.rate), []).append(score)
    sign = 1.0 if task.METRICS[task.PRIMARY]["better"] == "higher" else -1.0
    means = {run: sum(values) / len(values) for run, values in found.items()}
    rates = {
        (start, count): max(
            config.learning_rates, key=lambda rate: _merit(means.get((start, count, rate)), sign)
        )
        for start, count in product(config.starts, labels)
    }
    table = [
        {
            "start": start,
            "labels": count,
            "rate": rate,
            "score": None if np.isnan(score) else round(score, 6),
            "chosen": rates[start, count] == rate,
        }
        for (start, count, rate), score in means.items()
    ]
    return rates, table


def _merit(score: float | None, sign: float) -> float:
    return -np.inf if score is None or np.isnan(score) else sign * score


def score(task: Any, result: Result, classes: list[str]) -> float:
    """The primary metric of a run on what it was judged by."""
    size = len(next(iter(result.outcomes.values())))
    return float(task.metrics(result.outcomes, np.ones((1, size)), classes)[task.PRIMARY][0])
