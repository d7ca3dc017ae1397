"""Linear probes of frozen features, with the regularisation chosen on the labels they learn from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegressionCV

from tests.benchmarks.imagesets import Labelled

STRENGTHS = np.logspace(-4, 1, 6)  # C of the logistic regression
FOLDS = 4


def subset(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places of `count` labelled samples; those of a smaller count are the first of a larger one."""
    return np.random.default_rng(seed).permutation(len(labels))[:count]


@torch.no_grad()
def features(trunk: Any, frame: Any, images: np.ndarray) -> np.ndarray:
    """(n, width) pooled features of (n, height, width, channels) bytes, as a classifier would see them."""
    trunk.eval()
    shares = torch.tensor(images).permute(0, 3, 1, 2)
    parts = [trunk.pool(trunk.read(frame.normal(part.float() / 255))) for part in shares.split(500)]
    return torch.cat(parts).numpy()


def accuracy(known: np.ndarray, labels: np.ndarray, tested: np.ndarray, test_labels: np.ndarray) -> float:
    """Of a logistic regression on standardised features; its C has the best held-out likelihood."""
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    head = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=FOLDS,
        scoring="neg_log_loss",
        max_iter=200,
        tol=1e-3,
        use_legacy_attributes=False,
        l1_ratios=(0,),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer samples than folds
        head.fit((known - mean) / deviation, labels)
    return float(np.mean(head.predict((tested - mean) / deviation) == test_labels))


def curve(
    trunk: Any, frame: Any, data: Labelled, counts: tuple[int, ...], draws: Iterable[int]
) -> list[float]:
    """Test accuracy of a frozen trunk at each count of labels, the mean over draws of labels."""
    tested = features(trunk, frame, data.test_images)
    found = []
    for draw in draws:
        chosen = subset(data.labels, max(counts), draw)
        known, labels = features(trunk, frame, data.images[chosen]), data.labels[chosen]
        found.append([accuracy(known[:n], labels[:n], tested, data.test_labels) for n in counts])
    return [float(value) for value in np.mean(found, axis=0)]


@dataclass(frozen=True)
class Gain:
    """Means of two paired columns, and 95 % bounds of their difference by Student's t."""

    first: float
    second: float
    gain: float
    low: float
    high: float

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray) -> Gain:
        """One value a seed in each."""
        difference = first - second
        half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5
        mean = difference.mean()
        return cls(*map(float, (first.mean(), second.mean(), mean, mean - half, mean + half)))

    def __str__(self) -> str:
        bounds = f"{100 * self.gain:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{self.first:.3f} / {self.second:.3f}, {bounds}"

    def figures(self, first: str, second: str) -> dict[str, float]:
        """For the history, under the names of the columns."""
        values = {
            first: self.first,
            second: self.second,
            "gain": self.gain,
            "low": self.low,
            "high": self.high,
        }
        return {name: round(value, 4) for name, value in values.items()}
