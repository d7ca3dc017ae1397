import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from components.evaluation.comparison import compare
from components.evaluation.config import Config
from components.evaluation.price import isotonic

Runs = dict[tuple[str, int, int], dict[str, np.ndarray]]
SHARE = {"better": "higher", "low": 0.0, "high": 1.0}
NOISE = 0.5  # of an answer, beside the difficulty of its example


def share(outcomes: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = weights @ outcomes["correct"] / weights.sum(axis=1)
    return found


def error(outcomes: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = 100 * (weights @ (1 - outcomes["correct"])) / weights.sum(axis=1)
    return found


def runs(
    generator: np.random.Generator,
    n: int,
    levels: dict[str, dict[int, float]],
    seeds: int,
    between: float = 0.3,
) -> Runs:
    """Right or wrong by a latent difficulty that all runs share, and an effect of each (start, seed).

    `levels`: start -> labels -> latent skill; the true accuracy is `accuracy(level, between)`.
    """
    difficulty = generator.normal(0, 1, n)
    return {
        (start, count, seed): {
            "correct": (level + generator.normal(0, between) + difficulty + generator.normal(0, NOISE, n) > 0)
            * 1.0
        }
        for start, curve in levels.items()
        for count, level in curve.items()
        for seed in range(seeds)
    }


def accuracy(level: float, between: float) -> float:
    return float(stats.norm.cdf(level / math.sqrt(1 + NOISE**2 + between**2)))


def two(
    generator: np.random.Generator,
    n: int,
    counts: list[int],
    seeds: int,
    gain: float = 0.1,
    between: float = 0.3,
) -> Runs:
    levels = {"trunk": dict.fromkeys(counts, gain), "linear": dict.fromkeys(counts, 0.0)}
    return runs(generator, n, levels, seeds, between)


def compared(
    grid: Runs, replicates: int = 200, seed: int = 0, metric: Any = share, declared: Any = SHARE
) -> Any:
    return compare(Config("m", replicates=replicates, seed=seed), grid, metric, declared)


def difference(found: Any, place: int = 0, of: str = "trunk", over: str = "linear") -> dict[str, Any]:
    (one,) = [d for d in found["labels"][place]["differences"] if (d["of"], d["over"]) == (of, over)]
    return one


def test_equal_runs_do_not_differ_and_the_interval_says_what_their_number_leaves_open() -> None:
    """Clopper and Pearson (1934): none of 100 differs, so up to 1 - 0.025^(1/100) of all may."""
    grid = two(np.random.default_rng(0), 100, [10, 20], 3)
    for (start, labels, seed), columns in list(grid.items()):
        if start == "trunk":
            grid["linear", labels, seed] = columns
    found, most = difference(compared(grid)), stats.binomtest(0, 100).proportion_ci(0.95, "exact").high
    assert [found[end] for end in ("value", "low", "high")] == pytest.approx([0, -most, most], abs=1e-6)


def test_means_and_differences_are_those_of_the_runs() -> None:
    levels = {"random": {10: -1.0, 40: -0.5}, "trunk": {10: 0.1, 40: 0.2}, "public": {10: 0.0, 40: 0.4}}
    grid = runs(np.random.default_rng(1), 200, levels, 4)
    found = compared(grid)
    assert found["starts"] == ["trunk", "public", "random"] and found["seeds"] == [0, 1, 2, 3]
    for row in found["labels"]:
        mean = {
            start: np.mean([grid[start, row["count"], seed]["correct"].mean() for seed in range(4)])
            for start in levels
        }
        assert {s: entry["value"] for s, entry in row["starts"].items()} == pytest.approx(mean, abs=1e-6)
        pairs = {(d["of"], d["over"]): d for d in row["differences"]}
        assert {*pairs} == {("trunk", "public"), ("trunk", "random"), ("public", "random")}
        for (of, over), entry in pairs.items():
            assert entry["value"] == pytest.approx(mean[of] - mean[over], abs=1e-6)
            assert entry["low"] < entry["value"] < entry["high"]


def test_resampling_is_paired_in_examples_and_seeds() -> None:
    """Starts that differ on few examples: the difference is known far better than either start."""
    generator = np.random.default_rng(2)
    grid: Runs = {}
    for seed in range(5):
        base = (generator.random(400) < 0.5 + 0.05 * seed).astype(np.float64)
        better = base.copy()
        better[np.flatnonzero(base == 0)[:20]] = 1.0
        grid["linear", 10, seed], grid["trunk", 10, seed] = {"correct": base}, {"correct": better}
    found = compared(grid, 500)
    own, gap = found["labels"][0]["starts"]["trunk"], difference(found)
    assert gap["high"] - gap["low"] < (own["high"] - own["low"]) / 3 and gap["low"] > 0


@pytest.mark.parametrize(("seeds", "between"), [(3, 0.3), (5, 0.3), (5, 0.05)])
def test_intervals_cover_the_true_difference(seeds: int, between: float) -> None:
    generator = np.random.default_rng(3)
    truth = accuracy(0.3, between) - 0.5
    hits, trials = 0, 100
    for trial in range(trials):
        found = difference(compared(two(generator, 150, [10], seeds, 0.3, between), seed=trial))
        hits += found["low"] <= truth <= found["high"]
    assert hits / trials >= 0.9  # nominal 0.95; a plain bootstrap of 3 seeds covers about 0.78


def test_the_price_of_a_label_is_read_from_the_other_curve_and_its_interval_covers_it() -> None:
    """The other start reaches the trunk's level at 10^2.5 labels, between two that were measured."""
    generator = np.random.default_rng(4)
    levels = {"trunk": {100: 0.5}, "linear": {10: -1.0, 100: 0.0, 1000: 1.0, 10_000: 1.3}}
    share_of_gap = (accuracy(0.5, 0.1) - 0.5) / (accuracy(1.0, 0.1) - 0.5)
    truth, hits, trials = 10 ** (2 + share_of_gap), 0, 60
    for trial in range(trials):
        found = compared(runs(generator, 300, levels, 4, 0.1), seed=trial)
        (one,) = [p for p in found["prices"] if (p["of"], p["over"]) == ("trunk", "linear")]
        assert one["low"] <= one["value"] <= one["high"] and one["count"] == 100
        hits += one["low"] <= truth <= one["high"]
    assert hits / trials >= 0.9


def test_a_curve_is_made_monotone_as_isotonic_regression_does() -> None:
    values = np.random.default_rng(5).normal(size=(20, 6))
    x = np.arange(6)
    expected = [IsotonicRegression().fit_transform(x, row) for row in values]
    assert isotonic(values) == pytest.approx(np.array(expected))


def test_a_price_beyond_the_measured_range_says_so() -> None:
    levels = {"trunk": {10: 2.0, 100: 2.5}, "linear": {10: -2.0, 100: -1.5}}
    prices = {
        (p["of"], p["over"], p["count"]): p
        for p in compared(runs(np.random.default_rng(5), 300, levels, 3))["prices"]
    }
    above, below = prices["trunk", "linear", 10], prices["linear", "trunk", 100]
    everywhere = dict.fromkeys(("value", "low", "high"), ">")
    assert above["value"] == above["low"] == above["high"] == 100.0 and above["beyond"] == everywhere
    assert below["value"] == 10.0 and below["beyond"] == dict.fromkeys(("value", "low", "high"), "<")


@pytest.mark.parametrize("n", [150, 600])
def test_the_detectable_difference_is_shown_four_times_in_five(n: int) -> None:
    """The simulated gain is what the formula says can be shown with a power of 80 %."""
    generator, between, seeds = np.random.default_rng(6), 0.1, 5
    trials = [compared(two(generator, n, [10], seeds, 0.0, between), seed=t) for t in range(40)]
    least = float(np.mean([difference(found)["detectable"] for found in trials]))
    level = stats.norm.ppf(0.5 + least) * math.sqrt(1 + NOISE**2 + between**2)
    shown = [
        difference(compared(two(generator, n, [10], seeds, level, between), seed=t))["low"] > 0
        for t in range(80)
    ]
    assert 0.65 <= np.mean(shown) <= 0.95


def test_a_run_that_is_missing_costs_its_own_pairs() -> None:
    grid = two(np.random.default_rng(7), 50, [10, 20], 3)
    del grid["linear", 20, 1]
    one = compared(grid)
    del grid["trunk", 20, 1]
    other = compared(grid)
    assert difference(one, 1) == difference(other, 1)  # over the two seeds that both have
    assert one["labels"][1]["starts"]["trunk"] != other["labels"][1]["starts"]["trunk"]
    assert {p["count"] for p in one["prices"]} == {10, 20}


def test_a_start_alone_has_a_curve_and_nothing_to_compare() -> None:
    grid = {run: v for run, v in two(np.random.default_rng(8), 50, [10], 2).items() if run[0] == "trunk"}
    found = compared(grid)
    assert found["labels"][0]["differences"] == [] == found["prices"] and found["starts"] == ["trunk"]


@pytest.mark.parametrize(("right", "shown"), [(3, False), (5, False), (6, True)])
def test_a_handful_of_examples_shows_what_a_sign_test_shows(right: int, shown: bool) -> None:
    """The trunk is always right and the other never: a sign test says so with six examples, not with five."""
    grid: Runs = {
        ("trunk", 10, 0): {"correct": np.ones(right)},
        ("linear", 10, 0): {"correct": np.zeros(right)},
    }
    found = difference(compared(grid))
    assert (found["low"] > 0) == shown == (stats.binomtest(right, right).pvalue < 0.05)
    assert found["value"] == found["high"] == 1.0 and found["detectable"] > 0.4


def test_one_example_leaves_everything_open() -> None:
    grid: Runs = {("trunk", 10, 0): {"correct": np.ones(1)}, ("linear", 10, 0): {"correct": np.zeros(1)}}
    found = compared(grid)
    assert found["labels"][0]["starts"]["trunk"]["low"] < 0.03 and difference(found)["low"] < -0.9


def test_one_seed_gives_the_interval_of_the_examples_alone() -> None:
    grid = two(np.random.default_rng(9), 400, [10], 1)
    correct = grid["trunk", 10, 0]["correct"]
    half = 1.96 * correct.std() / math.sqrt(len(correct))
    entry = compared(grid, 2000)["labels"][0]["starts"]["trunk"]
    assert entry["high"] - entry["low"] == pytest.approx(2 * half, rel=0.1)


def test_a_metric_that_is_not_defined_is_null_everywhere() -> None:
    def nothing(outcomes: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
        return np.full(len(weights), np.nan)

    found = compared(two(np.random.default_rng(10), 20, [10, 20], 2), metric=nothing)
    assert difference(found)["value"] is None and difference(found)["detectable"] is None
    assert found["labels"][0]["starts"]["trunk"]["value"] is None and found["prices"] == []


def test_the_same_seed_gives_the_same_numbers() -> None:
    grid = two(np.random.default_rng(11), 60, [10, 20], 3)
    made = [compared(grid, 150, seed) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_a_metric_whose_lower_is_better_tells_the_same_story() -> None:
    """Errors in per cent: the difference a hundred times with the other sign, the same price of a label."""
    levels = {"trunk": {10: 0.4, 20: 0.6}, "linear": {10: 0.2, 20: 0.5, 40: 0.8}}
    grid = runs(np.random.default_rng(12), 200, levels, 4)
    one = compared(grid)
    other = compared(grid, metric=error, declared={"better": "lower", "low": 0.0, "high": 100.0})
    a, b = difference(one), difference(other)
    assert [-100 * a[end] for end in ("value", "high", "low")] == pytest.approx(
        [b[end] for end in ("value", "low", "high")], abs=1e-3
    )
    assert one["prices"] == other["prices"] and other["labels"][0]["starts"]["trunk"]["low"] >= 0
    endless = compared(grid, metric=error, declared={"better": "lower", "low": 0.0, "high": None})
    assert difference(endless)["value"] == b["value"]


def test_the_price_and_the_difference_tell_one_story() -> None:
    """Two seeds whose starts move together: a difference is shown that neither curve alone would show."""
    generator, grid = np.random.default_rng(13), dict[tuple[str, int, int], Any]()
    for seed, level in enumerate((0.3, 0.7)):
        for count, more in ((20, 0.0), (60, 0.3)):
            base, some = generator.random(400) < level + more, np.arange(400) < 80
            grid["linear", count, seed] = {"correct": (base | some) * 1.0}
            grid["trunk", count, seed] = {"correct": (base & ~some) * 1.0}
    found = compared(grid)
    (worth,) = [p for p in found["prices"] if (p["of"], p["over"], p["count"]) == ("trunk", "linear", 20)]
    assert difference(found)["high"] < 0 and worth["beyond"]["high"] == "<" == worth["beyond"]["value"]
