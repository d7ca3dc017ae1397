"""What a gate lets through in 100 retrains: against the last champion alone, with an anchor, and with slices.

Outcomes are real ones: classifiers of scikit-learn's digits, each trained on most of the same 300 images,
scored on the 1,497 others, which are the population; a test set is drawn from it. Each retrain is a model of
that pool, and what time does to it is known: nothing; 0.2 % of the population lost a week; one bad batch that
costs 5 %; 0.05 % gained a week; or 1 % of one digit lost a week. A wrong promotion is one of a model that is
truly worse than the first by more than 2 %, or on a digit, each of which is a slice, by more than 5 %.

All sequences advance together, a week at a time: of a test set only counts of the population's images matter.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.promotion import betting
from components.promotion.rules import anchor, slices
from tests.benchmarks.history import record, sized

RETRAINS, MARGIN, Z = sized(100, 3), 0.01, 1.96
SIZES, CHUNK = (1000, 5000), sized(50, 2)  # test examples; sequences that advance together
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
    """Test sets of S sequences: how often each holds an image of the population, and each digit."""

    drawn: Any  # (S, population)
    each: Any  # (population, 10), of which digit an image is

    def __post_init__(self) -> None:
        self.sizes = self.drawn @ self.each

    def against(self, branch: Bools, other: Bools) -> tuple[Any, Any]:
        """Examples on which the branch alone is right, and those on which the other is: (S, 10), by digit."""
        apart = branch ^ other
        both, plus = ((self.drawn * part) @ self.each for part in (apart, apart & branch))
        return plus, both - plus

    def kept(self, branch: Bools, champion: Bools, held: Bools, alpha: float, *, proven: bool) -> Bools:
        """Whether no digit is shown to be worse; if `proven`, those with examples enough not to be."""
        passed = np.ones(self.sizes.shape, bool)
        parts = (*self.against(branch, champion), *self.against(branch, held), self.sizes)
        for place in np.ndindex(passed.shape):
            plus, minus, up, down, n = (int(part[place]) for part in parts)
            passed[place] = doubt(minus, plus, n, -SLICES.margin) > SLICES.error / 10
            if doubt(up, down, n, ANCHOR.slice_drift) > alpha / 10:
                worse = doubt(down, up, n, -ANCHOR.slice_drift) <= alpha / 10
                passed[place] &= not (worse or (proven and n >= needed(up + down, n, alpha / 10)))
        return passed.all(axis=1)


@dataclass
class Gate:
    """One of GATES, which has let `champion` through, and holds to `held`."""

    name: str
    test: Test
    n: int
    champion: Bools
    held: Bools

    def passed(self, branch: Bools, week: int) -> Bools:
        """Which branches pass; the anchor moves to those that are shown to be better."""
        plus, minus = (part.sum(axis=1) for part in self.test.against(branch, self.champion))
        mean = (plus - minus) / self.n
        found = mean - Z * np.sqrt(((plus + minus) / self.n - mean**2) / (self.n - 1)) > -MARGIN
        if self.name != "today":
            half = betting.level(ANCHOR.error / 2, week)
            alpha = half if self.name == "anchor" else half / 2
            ends = (part.sum(axis=1) for part in self.test.against(branch, self.held))
            pairs = [(int(up), int(down)) for up, down in zip(*ends, strict=True)]
            found &= [doubt(*pair, self.n, ANCHOR.drift) <= alpha for pair in pairs]
            if self.name not in ("today", "anchor"):
                proven = self.name == "proven slices"
                found &= self.test.kept(branch, self.champion, self.held, alpha, proven=proven)
            better = found & [doubt(*pair, self.n, 0.0) <= half for pair in pairs]
            self.held = np.where(better[:, None], branch, self.held)
        self.champion = np.where(found[:, None], branch, self.champion)
        return found


def sequences(models: Bools, digits: Any, n: int, kind: str, name: str, generator: Any) -> dict[str, Any]:
    """Of CHUNK sequences: worse champions, also on a digit; better retrains kept back; what is left."""
    size = models.shape[1]
    among = (digits == 0) if kind == "one digit decays" else np.ones(size, bool)
    each = np.eye(10, dtype=np.float32)[digits]
    drawn = generator.multinomial(n, np.full(size, 1 / size), CHUNK).astype(np.float32)
    order = generator.permuted(np.tile(np.arange(size), (CHUNK, 1)), axis=1)
    first = models[generator.integers(len(models), size=CHUNK)]
    gate = Gate(name, Test(drawn, each), n, first, first)
    counts, (wrong, lost, good, back, harmless, harmless_back) = each.sum(axis=0), np.zeros((6, CHUNK))
    begun = best = first.astype(np.float32) @ each  # right answers by digit
    for week in range(1, RETRAINS + 1):
        branch = changed(models[generator.integers(len(models), size=CHUNK)], WEEKS[kind](week), order, among)
        passed, right = gate.passed(branch, week), branch.astype(np.float32) @ each
        truly = right.sum(1) > best.sum(1)
        good, back = good + truly, back + (truly & ~passed)
        truly &= ((right - best) / counts).min(axis=1) > -SLICES.margin
        harmless, harmless_back = harmless + truly, harmless_back + (truly & ~passed)
        best = np.where(passed[:, None], right, best)
        wrong = np.maximum(wrong, (best - begun).sum(1) < -ANCHOR.drift * size)
        lost = np.maximum(lost, ((best - begun) / counts).min(axis=1) < -ANCHOR.slice_drift)
    return {
        "wrong": wrong,
        "a_digit_lost": lost,
        "better_kept_back": back / np.maximum(good, 1),
        "of_them_no_digit_worse": harmless_back / np.maximum(harmless, 1),
        "last_over_first": (best - begun).sum(1) / size,
    }


def main() -> None:
    """Prints a line a case."""
    models, digits = pool(sized(60, 4))
    for n in SIZES:
        for kind in WEEKS:
            for name in GATES:
                generator, begun = np.random.default_rng(1), time.process_time()
                parts = [
                    sequences(models, digits, n, kind, name, generator)
                    for _ in range(sized(1000 // CHUNK, 1))
                ]
                figures = {key: float(np.mean([part[key] for part in parts])) for key in parts[0]}
                told = ", ".join(f"{key} {value:+.3f}" for key, value in figures.items())
                took = time.process_time() - begun
                print(f"{n:>5} examples, {kind:<16} {name:<13} {told}  {took:.0f} CPU-s", flush=True)
                record("gates", {"examples": n, "kind": kind, "gate": name, **figures})


if __name__ == "__main__":
    main()
