"""Confidence sequence for a mean of paired differences: an anytime-valid interval, by betting.

An interval of a fixed size is wrong far more often than it says if one looks at it again and again and stops
when it is clear. A confidence sequence holds the mean at all times at once with its confidence, so one may
stop whenever one likes (Ville's inequality). This is the hedged capital process of Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting" (JRSS B 86(1), 2024; arXiv 2010.09686): against each
candidate m for the mean two gamblers bet on "more" and on "less" with stakes that depend on the past alone,

    K+_t(m) = prod_i (1 + l_i(m) (x_i - m)),   K-_t(m) = prod_i (1 - l_i(m) (x_i - m)),

and m is refuted once max(K+_t(m), K-_t(m)) / 2 reaches 1 / alpha. The stakes are their predictable plug-in,
which adapts to the variance: pairs that mostly agree are told apart as fast as that allows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from components.evaluation.intervals import Floats

GRID = 2001  # candidates for the mean: ends are known to 0.001
MOST = 0.5  # of the stake that could lose all


class ConfidenceSequence:
    """The running interval for the mean of independent differences in [-1, 1].

    The differences are those of single examples, of two models on the same example, or of the means of their
    seeds. The interval is then that of the mean over examples for these very runs: how much other seeds
    would differ is not in it.

    Attributes:
        low, high: ends of the interval now; it never grows.
        count: differences so far.
    """

    def __init__(self, confidence: float = 0.95) -> None:
        if not 0 < confidence < 1:
            raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
        self.alpha = 1.0 - confidence
        self.low, self.high, self.count = -1.0, 1.0, 0
        self._means = np.linspace(0.0, 1.0, GRID)
        self._capital = np.zeros((2, GRID))  # logarithms: of bets on more, and on less
        self._sum, self._squares = 0.5, 0.25  # of one observation before the first, as the paper has it

    def update(self, differences: Iterable[float]) -> tuple[float, float]:
        """Adds differences in the order in which they were seen, and returns the interval.

        Raises:
            ValueError: if one is not in [-1, 1].
        """
        for difference in differences:
            if not -1.0 <= difference <= 1.0:
                raise ValueError(f"a difference lies in [-1, 1], not {difference}")
            self._bet((1.0 + difference) / 2.0)
        return self.low, self.high

    @property
    def decided(self) -> bool:
        """Whether the mean is shown to differ from 0."""
        return self.low > 0.0 or self.high < 0.0

    def _bet(self, value: float) -> None:
        """One round on a value in [0, 1]; afterwards the refuted candidates are no more."""
        self.count += 1
        variance = self._squares / self.count
        stake = np.sqrt(2.0 * np.log(2.0 / self.alpha) / (variance * self.count * np.log1p(self.count)))
        with np.errstate(divide="ignore"):
            more = np.minimum(stake, MOST / self._means) * (value - self._means)
            less = -np.minimum(stake, MOST / (1.0 - self._means)) * (value - self._means)
        self._capital += np.log1p(np.stack([more, less]))
        self._sum += value
        self._squares += (value - self._sum / (self.count + 1.0)) ** 2
        held = 2.0 * self._means[self._capital.max(axis=0) < np.log(2.0 / self.alpha)] - 1.0
        if held.size:
            step = 2.0 / (GRID - 1)  # to the next candidates, which are refuted
            self.low = max(self.low, float(held[0]) - step)
            self.high = min(self.high, float(held[-1]) + step)


def sequence(differences: Iterable[float], confidence: float = 0.95) -> Floats:
    """The intervals after each of the differences, as an array (n, 2)."""
    running = ConfidenceSequence(confidence)
    return np.array([running.update([difference]) for difference in differences]).reshape(-1, 2)
