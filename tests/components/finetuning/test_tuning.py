"""Fair rates: chosen for each start by the same rule, on training labels alone."""

import math
from pathlib import Path

import pytest

from components.finetuning import tuning
from components.finetuning.config import Config
from components.finetuning.fitting import Spec
from components.lib import tasks
from tests.components.finetuning.test_run import config

RATES, STARTS = (1.0, 2.0, 3.0), ("trunk", "random")


def rates_of(scores: dict[tuple[str, float], list[float]], settings: Config) -> dict[str, float]:
    """start -> the rate that the scores of its rates over seeds choose."""
    runs = [
        (Spec(start, 12, seed, rate, trial=True), score)
        for (start, rate), values in scores.items()
        for seed, score in enumerate(values)
    ]
    rates, told = tuning.chosen(settings, tasks.load("sequence_classification"), [12], runs)
    assert all(row["chosen"] == (rates[row["start"], row["labels"]] == row["rate"]) for row in told)
    return {start: rates[start, 12] for start in settings.starts}


@pytest.mark.parametrize(
    ("trunk", "best"),
    [
        ({1.0: [0.9, 0.1], 2.0: [0.6, 0.6], 3.0: [0.0, 0.9]}, 2.0),
        ({1.0: [0.5, 0.5], 2.0: [0.4, 0.6], 3.0: [0.2, 0.2]}, 1.0),
        ({1.0: [math.nan, 0.5], 2.0: [0.3, 0.3], 3.0: [0.1, 0.1]}, 2.0),
    ],
    ids=["the mean over seeds", "of equals the first", "what is not defined is nothing"],
)
def test_the_best_rate_of_each_start(trunk, best):
    random = {1.0: [0.0, 0.0], 2.0: [0.0, 0.1], 3.0: [0.2, 0.2]}
    scores = {("trunk", r): v for r, v in trunk.items()} | {("random", r): v for r, v in random.items()}
    assert rates_of(scores, config(Path(), learning_rates=RATES)) == {"trunk": best, "random": 3.0}


def test_both_starts_have_the_same_trials():
    trials = tuning.trials(config(Path(), learning_rates=RATES), [1, 12, 48])
    sorts = {
        start: sorted((t.labels, t.seed, t.rate) for t in trials if t.start == start) for start in STARTS
    }
    assert sorts["trunk"] == sorts["random"] and len(trials) == 2 * 2 * 2 * 3
    assert all(trial.trial for trial in trials)
    assert tuning.trials(config(Path()), [12, 48]) == []
