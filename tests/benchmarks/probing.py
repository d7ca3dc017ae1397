"""Linear probes of frozen features, regularised as their own labels choose; gains over seeds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegressionCV

from tests.benchmarks.history import sized
from tests.benchmarks.imagesets import Labelled

DRAWS, COUNTS = sized((4, (100, 500)), (1, (40, 80)))  # draws of so many labels a seed
STRENGTHS, FOLDS = np.logspace(-4, 1, 6), 4  # C of the logistic regression


@torch.no_grad()
def features(trunk: Any, frame: Any, images: np.ndarray) -> np.ndarray:
    """(n, width) pooled features of (n, height, width, channels) bytes, as a classifier would see them."""
    trunk.eval()
    parts = torch.tensor(images).permute(0, 3, 1, 2).split(500)
    return torch.cat([trunk.pool(trunk.read(frame.normal(part.float() / 255))) for part in parts]).numpy()


def accuracy(known: np.ndarray, labels: np.ndarray, tested: np.ndarray, test_labels: np.ndarray) -> float:
    """Of a logistic regression on standardised features; its C has the best held-out likelihood."""
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    learning = {"max_iter": 200, "tol": 1e-3, "l1_ratios": (0,), "use_legacy_attributes": False}
    head = LogisticRegressionCV(Cs=STRENGTHS, cv=FOLDS, scoring="neg_log_loss", **learning)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer samples than folds
        head.fit((known - mean) / deviation, labels)
    return float(np.mean(head.predict((tested - mean) / deviation) == test_labels))


def subset(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places of `count` labelled samples; those of a smaller count are the first of a larger one."""
    return np.random.default_rng(seed).permutation(len(labels))[:count]


def probed(trunk: Any, frame: Any, data: Labelled, seed: int) -> list[float]:
    """Test accuracy of a frozen trunk at each count of labels, the mean over draws of labels."""
    tested, found = features(trunk, frame, data.test_images), []
    for number in range(seed * DRAWS, (seed + 1) * DRAWS):
        chosen = subset(data.labels, max(COUNTS), number)
        known, labels = features(trunk, frame, data.images[chosen]), data.labels[chosen]
        found.append([accuracy(known[:n], labels[:n], tested, data.test_labels) for n in COUNTS])
    return [float(value) for value in np.mean(found, axis=0)]


def gain(first: Iterable[float], second: Iterable[float], names: tuple[str, str]) -> dict[str, float]:
    """Means of two columns, a value a seed in each, and 95 % bounds of their difference by Student's t."""
    one, other = np.array(first), np.array(second)
    mean, count = (one - other).mean(), len(one)
    half = stats.t.ppf(0.975, count - 1) * (one - other).std(ddof=1) / count**0.5
    figures = (one.mean(), other.mean(), mean, mean - half, mean + half)
    return {
        name: round(float(x), 4) for name, x in zip((*names, "gain", "low", "high"), figures, strict=True)
    }


def told(figures: dict[str, float]) -> str:
    """first / second, gain [low, high] in points."""
    first, second, *points = figures.values()
    return "{:.3f} / {:.3f}, {:+.1f} [{:+.1f}, {:+.1f}]".format(
        first, second, *(100 * point for point in points)
    )
