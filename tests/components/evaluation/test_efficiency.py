from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from components.evaluation.config import Config
from components.evaluation.efficiency import area, efficiency
from components.evaluation.intervals import estimates, summary

Runs = dict[tuple[str, int, int], dict[str, np.ndarray]]


def share(outcomes: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = weights @ outcomes["correct"] / weights.sum(axis=1)
    return found


SHARE = {"better": "higher", "low": 0.0, "high": 1.0}


def runs(generator: np.random.Generator, n: int, labels: list[int], seeds: int, gain: float = 0.1,
         between: float = 0.3) -> Runs:  # fmt: skip
    """Right or wrong by a latent difficulty shared by all runs, and an effect of each (start, seed)."""
    difficulty = generator.normal(0, 1, n)
    found: Runs = {}
    for start in ("trunk", "random"):
        for count in labels:
            for seed in range(seeds):
                level = (gain if start == "trunk" else 0.0) + generator.normal(0, between)
                correct = level + difficulty + generator.normal(0, 0.5, n) > 0
                found[start, count, seed] = {"correct": correct.astype(np.float64)}
    return found


def test_area_of_a_hand_computed_case() -> None:
    gain = np.array([[0.3], [0.2], [0.1]])
    assert area([100, 1000, 10_000], gain)[0] == pytest.approx(0.2)  # equal steps of the logarithm
    assert area([10, 100, 100_000], gain)[0] == pytest.approx((1 * 0.25 + 3 * 0.15) / 4)
    assert area([10, 20], np.array([[0.1], [0.1]]))[0] == pytest.approx(
        0.1
    )  # normalised: a constant is itself


def test_equal_runs_have_exactly_no_gain() -> None:
    grid = runs(np.random.default_rng(0), 100, [10, 20], 3)
    for (start, labels, seed), columns in list(grid.items()):
        if start == "trunk":
            grid["random", labels, seed] = columns
    found = efficiency(Config("m", replicates=200), grid, share, SHARE)
    assert found is not None
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["gain"] == [nothing, nothing] and found["area"] == nothing


def test_means_and_gains_are_those_of_the_runs() -> None:
    grid = runs(np.random.default_rng(1), 200, [10, 40], 4)
    found = efficiency(Config("m", replicates=200), grid, share, SHARE)
    assert found is not None
    mean = {
        start: [
            np.mean([grid[start, count, seed]["correct"].mean() for seed in range(4)]) for count in (10, 40)
        ]
        for start in ("trunk", "random")
    }
    assert [entry["mean"] for entry in found["trunk"]] == pytest.approx(mean["trunk"], abs=1e-6)
    expected = [a - b for a, b in zip(mean["trunk"], mean["random"], strict=True)]
    assert [entry["value"] for entry in found["gain"]] == pytest.approx(expected, abs=1e-6)
    assert found["area"]["value"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert all(entry["low"] < entry["value"] < entry["high"] for entry in found["gain"])


def test_resampling_is_paired_in_examples_and_seeds() -> None:
    """Starts that differ on few examples: the gain is known far better than either start."""
    generator = np.random.default_rng(2)
    grid: Runs = {}
    for seed in range(5):
        base = (generator.random(400) < 0.5 + 0.05 * seed).astype(np.float64)
        better = base.copy()
        better[np.flatnonzero(base == 0)[:20]] = 1.0
        grid["random", 10, seed], grid["trunk", 10, seed] = {"correct": base}, {"correct": better}
    found = efficiency(Config("m", replicates=500), grid, share, SHARE)
    assert found is not None
    width = {name: found[name][0]["high"] - found[name][0]["low"] for name in ("trunk", "gain")}
    assert width["gain"] < width["trunk"] / 3
    assert found["gain"][0]["low"] > 0


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.3), (5, 0.3), (5, 0.05)])
def test_intervals_cover_the_true_gain(seeds: int, between: float) -> None:
    generator = np.random.default_rng(3)
    spread = math.sqrt(1 + 0.25 + between**2)
    truth = stats.norm.cdf(0.3 / spread) - 0.5
    hits, trials = 0, 100
    for trial in range(trials):
        grid = runs(generator, 150, [10], seeds, gain=0.3, between=between)
        found = efficiency(Config("m", replicates=200, seed=trial), grid, share, SHARE)
        assert found is not None
        hits += found["gain"][0]["low"] <= truth <= found["gain"][0]["high"]
    assert hits / trials >= 0.9  # nominal 0.95; a plain bootstrap of 3 seeds covers about 0.78


def test_incomplete_seeds_are_left_out_and_named() -> None:
    grid = runs(np.random.default_rng(4), 50, [10, 20], 3)
    del grid["random", 20, 1]
    found = efficiency(Config("m", replicates=100), grid, share, SHARE)
    assert found is not None
    assert found["seeds"] == [0, 2] and found["left_out"] == [1]


def test_without_a_random_start_there_is_no_comparison() -> None:
    grid = {run: v for run, v in runs(np.random.default_rng(5), 50, [10], 2).items() if run[0] == "trunk"}
    assert efficiency(Config("m", replicates=100), grid, share, SHARE) is None


def test_one_number_of_labels_has_no_area_and_says_why() -> None:
    found = efficiency(Config("m", replicates=100), runs(np.random.default_rng(6), 50, [10], 2), share, SHARE)
    assert found is not None
    assert found["area"]["value"] is None and "two numbers of labels" in found["area"]["reason"]


def test_one_seed_gives_the_interval_of_the_examples_alone() -> None:
    grid = runs(np.random.default_rng(7), 400, [10], 1)
    found = efficiency(Config("m", replicates=2000), grid, share, SHARE)
    assert found is not None
    correct = grid["trunk", 10, 0]["correct"]
    half = 1.96 * correct.std() / math.sqrt(len(correct))
    entry = found["trunk"][0]
    assert entry["high"] - entry["low"] == pytest.approx(2 * half, rel=0.1)


def test_the_same_seed_gives_the_same_numbers() -> None:
    grid = runs(np.random.default_rng(8), 60, [10, 20], 3)
    made = [efficiency(Config("m", replicates=150, seed=s), grid, share, SHARE) for s in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_metric_intervals_match_scipy() -> None:
    generator = np.random.default_rng(9)
    correct = (generator.random(300) < 0.7).astype(np.float64)
    other = np.where(generator.random(300) < 0.1, 1 - correct, correct)

    def metrics(values: np.ndarray) -> Any:
        return lambda weights: {"accuracy": share({"correct": values}, weights)}

    config = Config("m", replicates=8000)
    systems = {"challenger": metrics(correct), "champion": metrics(other)}
    found, difference = estimates(config, systems, 300)
    options: dict[str, Any] = {"method": "percentile", "n_resamples": 8000, "vectorized": True}
    for values, name in ((correct, "challenger"), (other, "champion")):
        theirs = stats.bootstrap((values,), np.mean, rng=generator, **options).confidence_interval
        ours = found[name]["accuracy"]
        assert [ours["low"], ours["high"]] == pytest.approx([theirs.low, theirs.high], abs=0.007)

    def gap(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return a.mean(axis=axis) - b.mean(axis=axis)

    paired = stats.bootstrap((correct, other), gap, paired=True, rng=generator, **options).confidence_interval
    ours = difference["accuracy"]
    assert ours["value"] == pytest.approx(correct.mean() - other.mean(), abs=1e-6)
    assert [ours["low"], ours["high"]] == pytest.approx([paired.low, paired.high], abs=0.007)


def test_one_system_has_no_difference() -> None:
    assert estimates(Config("m", replicates=100), {"challenger": lambda w: {"a": w.mean(axis=1)}}, 5)[1] == {}


def test_undefined_is_null_with_a_reason_never_zero() -> None:
    nowhere = float("nan")
    assert summary(nowhere, nowhere, nowhere) == {
        "value": None, "low": None, "high": None,
        "reason": "not defined on these examples: there is nothing to divide by",
    }  # fmt: skip
    assert summary(0.0, nowhere, nowhere) == {"value": 0.0, "low": None, "high": None}


def error(outcomes: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = 100 * (weights @ (1 - outcomes["correct"])) / weights.sum(axis=1)
    return found


def test_a_metric_whose_lower_is_better_gains_where_the_trunk_errs_less() -> None:
    """Errors in per cent are the same story as shares: the same gain, a hundred times, with its sign."""
    grid = runs(np.random.default_rng(9), 200, [10, 20], 4, gain=0.4)
    one = efficiency(Config("m", replicates=200), grid, share, SHARE)
    declared = {"better": "lower", "low": 0.0, "high": None}
    other = efficiency(Config("m", replicates=200), grid, error, declared)
    for a, b in zip(one["gain"], other["gain"], strict=True):
        assert [100 * a[end] for end in ("value", "low", "high")] == pytest.approx(
            [b[end] for end in ("value", "low", "high")], abs=1e-3
        )
    assert other["trunk"][0]["value"] < other["random"][0]["value"] and other["trunk"][0]["low"] >= 0
