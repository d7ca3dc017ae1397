"""What a gate lets through in 100 retrains: against the last champion alone, with an anchor, and with slices.

Outcomes are real ones: classifiers of scikit-learn's digits, each trained on most of the same 300 images,
scored on the 1,497 others, which are the population; a test set is drawn from it. Each retrain is a model of
that pool, and what time does to it is known: nothing; 0.2 % of the population lost a week; one bad batch that
costs 5 %; 0.05 % gained a week; or 1 % of one digit lost a week. A wrong promotion is one of a model that is
truly worse than the first by more than 2 %, or on a digit, each of which is a slice, by more than 5 %.

All sequences advance together, a week at a time: of a test set only counts of the population's images matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.promotion import betting
from components.promotion.rules import anchor, slices
from tests.benchmarks.history import record, sized

RETRAINS, MARGIN, Z = 100, 0.01, 1.96
ANCHOR, SLICES = anchor.Config(), slices.Config()
WEEKS = {  # share of the population, or of the first digit, that week `week` has lost, or gained
    "no change": lambda week: 0.0,
    "slow decay": lambda week: -0.002 * week,
    "one bad batch": lambda week: -0.05 if week == 30 else 0.0,
    "true gains": lambda week: 0.0005 * week,
    "one digit decays": lambda week: -0.01 * week,
}
GATES = ("today", "anchor", "slices", "proven slices")
Bools = NDArray[np.bool_]


def pool(models: int) -> tuple[Bools, Any]:
    """Right or wrong of each model on each image of the population, (models, 1497); and the digits."""
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
    return np.array(found), labels[300:]


def changed(correct: Bools, share: float, order: Any, among: Bools) -> Bools:
    """Models (S, population) that have lost, or gained, a share of the images `among`, in a fixed order."""
    gained = share > 0
    found = np.take_along_axis(correct, order, axis=1)
    there = (found != gained) & among[order]
    found[there & (np.cumsum(there, axis=1) <= round(abs(share) * among.sum()))] = gained
    back = np.empty_like(found)
    np.put_along_axis(back, order, found, axis=1)
    return back


@lru_cache(1_000_000)
def doubt(plus: int, minus: int, n: int, margin: float) -> float:
    return betting.doubt(gaps(plus, minus, n), margin)


@lru_cache(1_000_000)
def needed(differ: int, n: int, alpha: float) -> int:
    return betting.examples(gaps(differ, 0, n), ANCHOR.slice_drift, alpha, 1 - 0.2 / 10)


def gaps(plus: int, minus: int, n: int) -> dict[str, Any]:
    return {"values": (-1.0, 0.0, 1.0), "counts": (minus, n - plus - minus, plus), "bounded": True}


@dataclass
class Test:
    """Test sets of S sequences, as counts (S, population), and the digit of each image."""

    drawn: Any
    digits: Any

    def __post_init__(self) -> None:
        self.each = np.eye(10)[self.digits]
        self.sizes = self.drawn @ self.each

    def against(self, branch: Bools, other: Bools) -> tuple[Any, Any]:
        """Examples on which the branch alone is right, and those on which the other is: (S, 10), by digit."""
        parts = (branch & ~other, other & ~branch)
        plus, minus = ((self.drawn * part).astype(np.float64) @ self.each for part in parts)
        return plus, minus

    def kept(self, branch: Bools, champion: Bools, held: Bools, alpha: float, *, proven: bool) -> Bools:
        """Whether no digit is shown to be worse; if `proven`, those with examples enough not to be."""
        passed = np.ones(self.sizes.shape, bool)
        rivals = zip(*self.against(branch, champion), *self.against(branch, held), self.sizes, strict=True)
        for s, digits in enumerate(rivals):
            for digit, (plus, minus, up, down, n) in enumerate(zip(*digits, strict=True)):
                passed[s, digit] = doubt(minus, plus, n, -SLICES.margin) > SLICES.error / 10
                if doubt(up, down, n, ANCHOR.slice_drift) > alpha / 10:
                    worse = doubt(down, up, n, -ANCHOR.slice_drift) <= alpha / 10
                    passed[s, digit] &= not (worse or (proven and n >= needed(up + down, n, alpha / 10)))
        return passed.all(axis=1)


def sequences(models: Bools, digits: Any, n: int, kind: str, gate: str, count: int) -> dict[str, float]:
    """Of `count` sequences: worse champions, also on a digit; better retrains kept back; what is left."""
    generator, everywhere = np.random.default_rng(1), np.ones(models.shape[1], bool)
    size, among = models.shape[1], (digits == 0) if kind == "one digit decays" else everywhere
    test = Test(generator.multinomial(n, np.full(size, 1 / size), count), digits)
    order = generator.permuted(np.tile(np.arange(size), (count, 1)), axis=1)
    first = champion = held = models[generator.integers(len(models), size=count)]
    shares = test.each / test.each.sum(axis=0)
    wrong, lost, good, back, harmless, harmless_back = (np.zeros(count) for _ in range(6))
    for week in range(1, RETRAINS + 1):
        branch = changed(models[generator.integers(len(models), size=count)], WEEKS[kind](week), order, among)
        plus, minus = (part.sum(axis=1) for part in test.against(branch, champion))
        mean = (plus - minus) / n
        passed = mean - Z * np.sqrt(((plus + minus) / n - mean**2) / (n - 1)) > -MARGIN
        half, better = betting.level(ANCHOR.error / 2, week), np.zeros(count, bool)
        if gate != "today":
            alpha = half if gate == "anchor" else half / 2
            for s, (up, down) in enumerate(zip(*test.against(branch, held), strict=True)):
                passed[s] &= doubt(up.sum(), down.sum(), n, ANCHOR.drift) <= alpha
                better[s] = doubt(up.sum(), down.sum(), n, 0.0) <= half
            if gate != "anchor":
                passed &= test.kept(branch, champion, held, alpha, proven=gate != "slices")
        truly = branch.mean(1) > champion.mean(1)
        good, back = good + truly, back + (truly & ~passed)
        truly &= ((branch - champion.astype(float)) @ shares).min(1) > -SLICES.margin
        harmless, harmless_back = harmless + truly, harmless_back + (truly & ~passed)
        champion = np.where(passed[:, None], branch, champion)
        held = np.where((passed & better)[:, None], branch, held)
        wrong = np.maximum(wrong, champion.mean(1) < first.mean(1) - ANCHOR.drift)
        gap = ((champion - first.astype(float)) @ shares).min(axis=1)
        lost = np.maximum(lost, gap < -ANCHOR.slice_drift)
    found = {
        "wrong": wrong,
        "a_digit_lost": lost,
        "better_kept_back": back / np.maximum(good, 1),
        "of_them_no_digit_worse": harmless_back / np.maximum(harmless, 1),
        "last_over_first": champion.mean(1) - first.mean(1),
    }
    return {name: float(values.mean()) for name, values in found.items()}


def main() -> None:
    """Prints a line a case."""
    models, digits = pool(sized(60, 4))
    for n in (1000, 5000):
        for kind in WEEKS:
            for gate in GATES:
                figures = sequences(models, digits, n, kind, gate, sized(1000, 2))
                told = ", ".join(f"{name} {value:+.3f}" for name, value in figures.items())
                print(f"{n:>5} examples, {kind:<16} {gate:<13} {told}", flush=True)
                record("gates", {"examples": n, "kind": kind, "gate": gate, **figures})


if __name__ == "__main__":
    main()
