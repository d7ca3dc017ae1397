"""What the intervals of an evaluation hold: simulated coverage of differences and prices.

Right and wrong answers of starts that share the difficulty of the examples, with a spread between seeds that
is the same for all, heavy-tailed, or larger for the better start. Nominal are 95 %.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy import optimize, stats

from components.evaluation.comparison import compare
from components.evaluation.config import Config
from tests.benchmarks.history import record, sized

SHARE = {"better": "higher", "low": 0.0, "high": 1.0}
NOISE, BETWEEN, REPLICATES = 0.5, 0.15, 400
LABELS = (30, 100, 300, 1000)
SKILL = {"trunk": (0.3, 0.6, 0.9, 1.1), "linear": (-0.8, 0.0, 0.7, 1.3)}
SPREADS = {  # of the seeds of (start), as multiples of BETWEEN
    "normal": lambda g, start: g.normal(),
    "heavy tails": lambda g, start: g.standard_t(3) / math.sqrt(3),
    "unequal": lambda g, start: g.normal() * (2.0 if start == "trunk" else 0.5),
}


def runs(generator: np.random.Generator, n: int, seeds: int, spread: Any) -> dict[Any, Any]:
    """Outcomes of every (start, labels, seed)."""
    difficulty, found = generator.normal(size=n), {}
    for start, curve in SKILL.items():
        for (count, skill), seed in itertools.product(zip(LABELS, curve, strict=True), range(seeds)):
            level = skill + BETWEEN * spread(generator, start)
            correct = level + difficulty + NOISE * generator.normal(size=n) > 0
            found[start, count, seed] = {"correct": correct.astype(np.float64)}
    return found


def truth(spread: Any) -> tuple[dict[str, list[float]], list[float]]:
    """Accuracies of both starts, and what the trunk's labels are worth with the other, by 200,000 draws."""
    generator, mean = np.random.default_rng(1), {}
    for start, curve in SKILL.items():
        shifts = np.array([spread(generator, start) for _ in range(200_000)]) * BETWEEN
        mean[start] = [
            float(stats.norm.cdf((skill + shifts) / math.hypot(1, NOISE)).mean()) for skill in curve
        ]
    x = np.log(LABELS)
    worth = [
        float(
            np.exp(
                optimize.brentq(lambda at, goal=goal: np.interp(at, x, mean["linear"]) - goal, x[0], x[-1])
            )
        )
        if mean["linear"][0] < goal < mean["linear"][-1]
        else math.inf
        for goal in mean["trunk"]
    ]
    return mean, worth


def share(outcomes: dict[str, Any], weights: Any) -> Any:
    return weights @ outcomes["correct"] / weights.sum(axis=1)


def coverage(n: int, seeds: int, name: str, trials: int) -> dict[str, float]:
    """How often the intervals hold what is true, and how wide those of prices are (high / low)."""
    generator, spread = np.random.default_rng(2), SPREADS[name]
    (mean, worth), held = truth(spread), {"difference": list[bool](), "price": list[bool]()}
    widths = []
    for trial in range(trials):
        config = Config("m", replicates=REPLICATES, seed=trial)
        found = compare(config, runs(generator, n, seeds, spread), share, SHARE)
        for place, row in enumerate(found["labels"]):
            (one,) = row["differences"]
            held["difference"].append(
                one["low"] <= mean["trunk"][place] - mean["linear"][place] <= one["high"]
            )
        for one in found["prices"]:
            if one["of"] == "trunk":
                true = min(worth[LABELS.index(one["count"])], LABELS[-1])  # beyond it: the end, with its sign
                held["price"].append(one["low"] <= true <= one["high"])
                widths.append(one["high"] / one["low"])
    return {name: float(np.mean(values)) for name, values in held.items()} | {
        "width": float(np.median(widths))
    }


def main() -> None:
    """Prints a line a case."""
    for n, seeds, name in itertools.product((150, 1000), (3, 5), SPREADS):
        found = coverage(n, seeds, name, sized(150, 2))
        print(f"{n:>5} examples, {seeds} seeds, {name:<12} " + told(found), flush=True)
        record("intervals_coverage", {"examples": n, "seeds": seeds, "spread": name, **found})


def told(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items())


if __name__ == "__main__":
    main()
