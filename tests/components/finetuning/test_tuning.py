"""Fair training: rate and steps are chosen for each start by the same rule, on training labels alone."""

import math
from pathlib import Path

import pytest

from components.finetuning import tuning
from components.finetuning.fitting import Spec
from components.finetuning.stopping import PATIENCE, Point, Watch
from components.finetuning.tuning import Choice
from components.lib import tasks
from tests.components.finetuning.studies import config

RATES, STARTS = (1.0, 2.0, 3.0), ("trunk", "random")
TASK = tasks.load("sequence_classification")


def curve(*scores: float, losses: tuple[float, ...] = ()) -> list[Point]:
    """Judged after 10, 20, ... steps."""
    return [Point(10 * place, s, (losses or (1.0,) * 9)[place - 1]) for place, s in enumerate(scores, 1)]


def chosen(curves: dict[float, list[list[Point]]], bound: int = 40) -> Choice:
    """What the curves of rates over seeds choose."""
    settings = config(Path(), learning_rates=tuple(curves), steps=bound)
    tried = [
        (Spec("trunk", 12, seed, rate, bound, trial=True), points)
        for rate, of_rate in curves.items()
        for seed, points in enumerate(of_rate)
    ]
    choices, told = tuning.chosen(settings, TASK, ["trunk"], [12], tried)
    assert [(row["rate"], row["steps"]) for row in told if row["chosen"]] == [
        (choices["trunk", 12].rate, choices["trunk", 12].steps)
    ]
    return choices["trunk", 12]


NAN = math.nan
CASES = {
    "the mean over seeds": ({1.0: [curve(0.9), curve(0.1)], 2.0: [curve(0.6), curve(0.6)]}, (2.0, 10)),
    "of equals the first": ({1.0: [curve(0.5), curve(0.5)], 2.0: [curve(0.4), curve(0.6)]}, (1.0, 10)),
    "what is not defined is nothing": (
        {1.0: [curve(NAN), curve(0.9)], 2.0: [curve(0.2), curve(0.2)]},
        (2.0, 10),
    ),
    "rate and steps together": ({1.0: [curve(0.5, 0.8, 0.6)], 2.0: [curve(0.7, 0.7, 0.7)]}, (1.0, 20)),
    "the loss where the metric is equal": ({1.0: [curve(0.5, 0.5, 0.5, losses=(3, 1, 2))]}, (1.0, 20)),
    "a trial that has ended counts on as it was": (
        {1.0: [curve(0.9, 0.8), curve(0.1, 0.3, 0.35, 0.4)], 2.0: [curve(0.55), curve(0.55)]},
        (1.0, 40),
    ),
}


@pytest.mark.parametrize(("curves", "expected"), CASES.values(), ids=CASES)
def test_the_best_rate_and_steps(curves, expected):
    choice = chosen(curves)
    assert (choice.rate, choice.steps) == expected
    assert choice.stopped == ("bound" if expected[1] == 40 else "early")


def test_every_start_that_is_trained_has_the_same_trials():
    trials = tuning.trials(config(Path(), learning_rates=RATES), STARTS, [1, 12, 48])
    sorts = {
        start: sorted((t.labels, t.seed, t.rate) for t in trials if t.start == start) for start in STARTS
    }
    assert sorts["trunk"] == sorts["random"] and len(trials) == 2 * 2 * 2 * 3
    assert all(trial.trial and trial.steps == 30 for trial in trials)
    solved = tuning.trials(config(Path(), mode="frozen"), STARTS, [12, 48])  # they calibrate the branch alone
    assert [(t.start, t.labels, t.seed, t.rate) for t in solved] == [("trunk", 48, s, None) for s in (0, 1)]
    assert tuning.trials(config(Path(), mode="frozen"), STARTS, [1]) == []


def test_one_label_cannot_be_held_out():
    choices, _ = tuning.chosen(config(Path(), learning_rates=RATES), TASK, STARTS, [1], [])
    assert set(choices.values()) == {Choice(1.0, 30, "bound")}


@pytest.mark.parametrize(
    ("scores", "losses", "ends"),
    [
        ([0.1] * 30, [1.0] * 30, 1 + PATIENCE),
        ([0.1] * 30, [1 / place for place in range(1, 31)], None),
        ([place / 30 for place in range(30)], [float(place) for place in range(30)], None),
        ([NAN] * 30, [NAN] * 30, 1 + PATIENCE),
        ([0.1, 0.2, 0.3, *[0.25] * 27], [1.0] * 30, 3 + PATIENCE),
    ],
    ids=["flat", "the loss still falls", "the metric still rises", "nothing is defined", "a peak"],
)
def test_a_trial_ends_when_neither_metric_nor_loss_improves(scores, losses, ends):
    left = iter(scores)
    watch = Watch(lambda: (next(left), ()), 1.0)
    ended = next((place for place, loss in enumerate(losses, 1) if watch(place, loss)), None)
    assert ended == ends and [point.step for point in watch.points] == list(range(1, (ends or 30) + 1))
