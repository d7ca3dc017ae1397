import math

import numpy as np
import pytest

from components.evaluation.sequential import ConfidenceSequence, sequence

N = 400


def pairs(generator: np.random.Generator, mean: float, agree: float, n: int = N) -> np.ndarray:
    """Differences of right (1) and wrong (0) of two models that agree on a share of the examples."""
    return generator.choice([1.0, -1.0, 0.0], n, p=[(1 - agree + mean) / 2, (1 - agree - mean) / 2, agree])


def fixed(values: np.ndarray) -> np.ndarray:
    """Wald intervals after each value, which are valid for a size that is fixed beforehand."""
    count = np.arange(1, len(values) + 1)
    mean = np.cumsum(values) / count
    half = 1.96 * np.sqrt(np.maximum(np.cumsum(values**2) / count - mean**2, 1e-12) / count)
    return np.stack([mean - half, mean + half], axis=-1)


@pytest.mark.parametrize(("mean", "agree"), [(0.0, 0.8), (0.0, 0.4), (0.3, 0.5)])
def test_whoever_stops_whenever_it_looks_clear_is_wrong_in_one_of_twenty_at_most(mean, agree):
    """The worst stopping rule there is: at the first moment at which the interval misses the mean."""
    generator, trials = np.random.default_rng(0), 150
    missed = {"sequence": 0, "fixed": 0}
    for _ in range(trials):
        values = pairs(generator, mean, agree)
        for name, found in (("sequence", sequence(values)), ("fixed", fixed(values)[20:])):
            missed[name] += bool(((found[:, 0] > mean) | (found[:, 1] < mean)).any())
    assert missed["sequence"] / trials <= 0.05 < 0.15 < missed["fixed"] / trials


def test_it_decides_with_fewer_examples_where_the_difference_is_large():
    """An interval of fixed size needs all 400 whatever they show; its power at 0.15 is 1 by then."""
    generator, trials, needed = np.random.default_rng(1), 60, []
    for _ in range(trials):
        running, values = ConfidenceSequence(), iter(pairs(generator, 0.15, 0.7))
        while not running.decided and running.count < N:
            running.update([next(values)])
        needed.append(running.count if running.low > 0 else math.inf)
    assert np.isfinite(needed).mean() >= 0.9 and np.median(needed) < N / 2


def test_it_is_about_as_narrow_as_the_law_of_the_iterated_logarithm_allows():
    values = pairs(np.random.default_rng(2), 0.05, 0.8, 2000)
    ours, wald = (np.ptp(found[-1]) for found in (sequence(values), fixed(values)))
    assert wald < ours < 2 * wald


def test_capital_is_the_product_that_the_paper_defines():
    values, alpha = pairs(np.random.default_rng(3), 0.1, 0.5, 50), 0.05
    running = ConfidenceSequence(1 - alpha)
    running.update(values)
    x, m = (1 + values) / 2, 0.4
    mean = (0.5 + np.cumsum(x)) / (np.arange(50) + 2)
    variance = (0.25 + np.concatenate([[0.0], np.cumsum((x - mean) ** 2)[:-1]])) / np.arange(1, 51)
    t = np.arange(1, 51)
    stake = np.sqrt(2 * np.log(2 / alpha) / (variance * t * np.log(1 + t)))
    more = np.prod(1 + np.minimum(stake, 0.5 / m) * (x - m))
    less = np.prod(1 - np.minimum(stake, 0.5 / (1 - m)) * (x - m))
    place = int(np.argmin(np.abs(running._means - m)))
    assert np.exp(running._capital[:, place]) == pytest.approx([more, less], rel=1e-9)


def test_intervals_are_nested_and_do_not_depend_on_how_the_stream_is_cut():
    values = pairs(np.random.default_rng(4), 0.2, 0.5, 100)
    found, running = sequence(values), ConfidenceSequence()
    assert (np.diff(found[:, 0]) >= 0).all() and (np.diff(found[:, 1]) <= 0).all()
    assert [running.update(part) for part in np.split(values, 4)][-1] == tuple(found[-1])
    assert (running.count, ConfidenceSequence().update([])) == (100, (-1.0, 1.0))


def test_constant_streams_close_in_on_their_value():
    for value in (-1.0, 0.0, 1.0):
        running = ConfidenceSequence()
        low, high = running.update([value] * 300)
        assert low <= value <= high and high - low < 0.15
        assert running.decided == (value != 0)


@pytest.mark.parametrize("wrong", [1.5, -2.0, math.nan])
def test_what_is_no_difference_of_bounded_values_is_refused(wrong):
    with pytest.raises(ValueError, match="difference lies in"):
        ConfidenceSequence().update([wrong])
    with pytest.raises(ValueError, match="confidence lies between"):
        ConfidenceSequence(1.0)
