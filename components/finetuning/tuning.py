"""Fair training: each start, with each number of labels, gets the rate and the number of steps that suit it.

A random start may want a higher rate or more steps than a trunk, and one choice for both would count that as
a gain of pre-training. So every rate is tried from every start with the labels of every seed, of which a
fifth is held out to judge it while it trains. The mean curve over the seeds decides: with 100 labels and 5
seeds that is 100 judgements, and not 20. The runs then learn from all of their labels, with that rate and for
that many steps. The test split has no part in it, and nobody sees more labels than its run may. The same
held-out labels calibrate what has probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from components.finetuning import stopping
from components.finetuning.config import MODES, STARTS, TASKS, Config
from components.finetuning.fitting import Spec
from components.finetuning.stopping import Point
from components.lib.core import plugins
from components.lib.models import calibration


@dataclass(frozen=True)
class Choice:
    """What the trials of a start with a number of labels have chosen.

    Attributes:
        rate: None where nothing is trained by steps.
        stopped: "early"; "bound" if the last step was still the best, or nothing could be held out;
            "solved" where a solver finds the optimum; "zero-shot" where nothing is learnt from labels.
        temperature: at which the held-out labels of its trials are the least surprising.
    """

    rate: float | None
    steps: int
    stopped: str
    temperature: float = 1.0


Choices = dict[tuple[str, int], Choice]  # start and number of labels


def trials(config: Config, starts: Iterable[str], labels: list[int]) -> list[Spec]:
    """The runs that try rates and steps; none with but one label: it gets the first rate and all steps.

    What a solver finds is tried where the branch is, by whose held-out labels it is calibrated.
    """
    runs = product(labels, starts, config.learning_rates, config.seeds)
    tried = [
        Spec(start, count, seed, rate, config.steps, trial=True)
        for count, start, rate, seed in runs
        if count > 1 and not _fixed(config, start)
    ]
    if labels[-1] > 1 and _fixed(config, "trunk") == "solved" and _calibrates(config):
        tried += [Spec("trunk", labels[-1], seed, trial=True) for seed in config.seeds]
    return tried


def _calibrates(config: Config) -> bool:
    return hasattr(plugins.load(TASKS, config.kind), "decided")


def _fixed(config: Config, start: str) -> str:
    """How a start's runs end if no step of theirs has to be chosen; '' if one has."""
    if not plugins.declared(TASKS, config.kind).constants.get("TRAINS", True):
        return "zero-shot"
    by_steps = plugins.declared(STARTS, start).constants["WEIGHTS"]
    return "" if by_steps and plugins.declared(MODES, config.mode).constants["STEPS"] else "solved"


def chosen(
    config: Config,
    task: Any,
    starts: Iterable[str],
    labels: list[int],
    tried: Iterable[tuple[Spec, list[Point]]],
) -> tuple[Choices, list[dict[str, Any]]]:
    """The best rate and number of steps for each start and number of labels, and what every rate came to.

    Args:
        task: the plugin, which says whether more of its metric is better.
        tried: trials, and how each did on its held-out labels over its steps.

    Returns:
        Of rates that are equal by metric and loss the one that is named first, of steps the fewest.
    """
    found: dict[tuple[str, int], dict[float, list[list[Point]]]] = {}
    for spec, points in tried:
        found.setdefault((spec.start, spec.labels), {}).setdefault(spec.rate or 0.0, []).append(points)
    sign, choices, table = stopping.sign(task), Choices(), []
    for run in product(starts, labels):
        best = {rate: _best(curves, sign) for rate, curves in found.get(run, {}).items()}
        if fixed := _fixed(config, run[0]):
            choices[run] = Choice(None, 0, fixed, _temperature(best.get(0.0)))
            continue
        rate = max(best, key=lambda r: stopping.merit(best[r].score, best[r].loss, sign), default=None)
        steps = config.steps if rate is None else best[rate].step
        stopped = "early" if steps < config.steps else "bound"
        chosen_rate = config.learning_rates[0] if rate is None else rate
        choices[run] = Choice(chosen_rate, steps, stopped, _temperature(None if rate is None else best[rate]))
        table += [_row(run, other, point, other == rate) for other, point in best.items()]
    return choices, table


def _best(curves: list[list[Point]], sign: float) -> Point:
    """The best place of the mean curve; one that has ended counts on as it was last."""
    mean = []
    for step in sorted({point.step for curve in curves for point in curve}):
        at = [max((p for p in curve if p.step <= step), key=lambda p: p.step) for curve in curves]
        surprise = tuple(np.sum([p.surprise for p in at], axis=0)) if all(p.surprise for p in at) else ()
        score, loss = (float(np.mean([getattr(p, name) for p in at])) for name in ("score", "loss"))
        mean.append(Point(step, score, loss, surprise))
    return max(mean, key=lambda point: stopping.merit(point.score, point.loss, sign))


def _temperature(point: Point | None) -> float:
    """By the held-out labels of all seeds together."""
    return calibration.fitted(np.array(point.surprise)) if point and point.surprise else 1.0


def _row(run: tuple[str, int], rate: float, point: Point, is_chosen: bool) -> dict[str, Any]:
    numbers = {"score": point.score, "loss": point.loss}
    told = {name: None if math.isnan(value) else round(value, 6) for name, value in numbers.items()}
    return {"start": run[0], "labels": run[1], "rate": rate, "steps": point.step, **told, "chosen": is_chosen}
