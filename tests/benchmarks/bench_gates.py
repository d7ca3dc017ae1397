"""What a gate lets through in 100 retrains: against the last champion alone, and with an anchor.

Outcomes are real ones: classifiers of scikit-learn's digits, each trained on most of the same 300 images,
scored on the 1,497 others, which are the population; a test set is drawn from it. Each retrain is a model of
that pool, and what time does to it is known: nothing; 0.2 % of the population lost a week; one bad batch that
costs 5 %; or 0.05 % gained a week. A wrong promotion is one of a model that is truly worse than the first by
more than 2 %.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluation.gaps import BINS
from components.promotion import betting
from components.promotion.rules.anchor import Config
from tests.benchmarks.history import record, sized

RETRAINS, MARGIN, Z = 100, 0.01, 1.96
OPTIONS = Config()
WEEKS = {  # share of the population that week `week` has lost, or gained
    "no change": lambda week: 0.0,
    "slow decay": lambda week: -0.002 * week,
    "one bad batch": lambda week: -0.05 if week == 30 else 0.0,
    "true gains": lambda week: 0.0005 * week,
}
Bools = NDArray[np.bool_]


def pool(models: int) -> Bools:
    """Right or wrong of each model on each image of the population, (models, 1497)."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order] / 16, labels[order]
    found = []
    for seed in range(models):
        mine = np.random.default_rng(seed).permutation(300)[:270]
        model = LogisticRegression(max_iter=200).fit(images[mine], labels[mine])
        found.append(model.predict(images[300:]) == labels[300:])
    return np.array(found)


def changed(correct: Bools, share: float, order: Any) -> Bools:
    """A model that has lost, or gained, a share of the population, always the same images first."""
    found, count = correct.copy(), round(abs(share) * correct.size)
    found[order[correct[order] == (share < 0)][:count]] = share > 0
    return found


def evidence(branch: Bools, anchor: Bools) -> dict[str, Any]:
    values, counts = np.unique(branch.astype(int) - anchor, return_counts=True)
    return {"values": np.floor(values * BINS) / BINS, "counts": counts, "bounded": True, "size": 1.0}


def sequence(
    models: Bools, n: int, kind: str, anchored: bool, generator: Any
) -> tuple[bool, float, float, float]:
    """Of one sequence: whether a worse champion got through, promotions, gains kept back, what is left."""
    population = models.shape[1]
    test, order = generator.integers(0, population, n), generator.permutation(population)
    anchor = champion = models[generator.integers(len(models))]
    first, through, promoted, good, kept_back, held = anchor.mean(), False, 0, 0, 0, anchor
    for week in range(1, RETRAINS + 1):
        branch = changed(models[generator.integers(len(models))], WEEKS[kind](week), order)
        gap = branch[test].astype(float) - champion[test]
        passed = gap.mean() - Z * gap.std(ddof=1) / np.sqrt(n) > -MARGIN
        if anchored:
            found, alpha = evidence(branch[test], held[test]), betting.level(OPTIONS.error / 2, week)
            passed = passed and betting.doubt(found, OPTIONS.drift) <= alpha
            if passed and betting.doubt(found, 0.0) <= alpha:
                held = branch
        better = branch.mean() > champion.mean()
        good, kept_back = good + better, kept_back + (better and not passed)
        if passed:
            through, promoted, champion = (
                through or branch.mean() < first - OPTIONS.drift,
                promoted + 1,
                branch,
            )
    return through, promoted, kept_back / max(good, 1), champion.mean() - first


def main() -> None:
    """Prints a line a case."""
    models = pool(sized(60, 4))
    for n, kind, anchored in itertools.product((1000, 5000), WEEKS, (False, True)):
        generator = np.random.default_rng(1)
        trials = [sequence(models, n, kind, anchored, generator) for _ in range(sized(1000, 2))]
        wrong, promoted, kept, left = np.mean(np.array(trials, dtype=float), axis=0)
        figures = {"wrong": wrong, "promoted": promoted, "better_kept_back": kept, "last_over_first": left}
        told = ", ".join(f"{name} {value:+.3f}" for name, value in figures.items())
        print(f"{n:>5} examples, {kind:<13} {'anchor' if anchored else 'today':<6} {told}", flush=True)
        record("gates", {"examples": n, "kind": kind, "anchor": anchored, **figures})


if __name__ == "__main__":
    main()
