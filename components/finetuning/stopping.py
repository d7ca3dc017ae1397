"""Early stopping: how long a branch trains is chosen on held-out labels, within a bound of steps.

A trial is judged at EVALUATIONS places, evenly spaced below the bound, by the task's primary metric and by
the loss of the labels that it holds out. It ends when neither has improved for PATIENCE of them: the metric
of a few labels moves in jumps, and the loss may rise while the metric still improves (Mosbach et al., "On the
stability of fine-tuning BERT", ICLR 2021). The bound is the same for every start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

EVALUATIONS = 20
PATIENCE = 5


@dataclass(frozen=True)
class Point:
    """How a trial did on what it holds out: after `step` steps, by the metric and by the loss.

    Attributes:
        surprise: at each temperature of `calibration.GRID`; () where the task has no probabilities.
    """

    step: int
    score: float
    loss: float
    surprise: tuple[float, ...] = ()


def spacing(bound: int) -> int:
    """Steps between two judgements."""
    return max(1, bound // EVALUATIONS)


def sign(task: Any) -> float:
    """1 if more of the task's primary metric is better, else -1."""
    return 1.0 if task.METRICS[task.PRIMARY]["better"] == "higher" else -1.0


def primary(task: Any, outcomes: dict[str, Any], classes: list[str]) -> float:
    """The primary metric of outcomes."""
    size = len(next(iter(outcomes.values())))
    return float(task.metrics(outcomes, np.ones((1, size)), classes)[task.PRIMARY][0])


def merit(score: float, loss: float, sign: float) -> tuple[float, float]:
    """Larger is better: by the metric, and where that is equal by the loss; what is not defined is worst."""
    return -math.inf if math.isnan(score) else sign * score, -math.inf if math.isnan(loss) else -loss


@dataclass
class Watch:
    """Judges a trial at each of its places, and says when it has seen enough.

    Attributes:
        judge: the metric of the held-out labels, and their surprise, now.
        points: so far.
    """

    judge: Callable[[], tuple[float, tuple[float, ...]]]
    sign: float
    points: list[Point] = field(default_factory=list)

    def __call__(self, step: int, loss: float) -> bool:
        """Adds a point; True if nothing has improved for PATIENCE of them."""
        score, surprise = self.judge()
        self.points.append(Point(step, score, loss, surprise))
        merits = np.array([merit(point.score, point.loss, self.sign) for point in self.points])
        best = merits.argmax(axis=0).max()  # the place of the last improvement of either
        return len(self.points) - 1 - int(best) >= PATIENCE


@contextmanager
def judged(model: nn.Module) -> Iterator[None]:
    """Leaves every module in the mode (training or evaluation) in which it was: some stay frozen."""
    was = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in was:
            module.training = training
