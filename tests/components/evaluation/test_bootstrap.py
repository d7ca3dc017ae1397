import numpy as np
import pytest
from scipy import stats

from components.lib.core import bootstrap


def mean_of(values):
    return lambda counts: {"mean": counts @ values / counts.sum(1)}


def test_interval_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=150)
    drawn = bootstrap.replicate(mean_of(values), 150, replicates=9_000, seed=0)["mean"]
    low, high = bootstrap.interval(drawn, 0.95)
    reference = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9_000, rng=np.random.default_rng(2)
    ).confidence_interval
    width = reference.high - reference.low
    assert bootstrap.point(mean_of(values), 150)["mean"] == pytest.approx(values.mean())
    assert abs(low - reference.low) < 0.04 * width
    assert abs(high - reference.high) < 0.04 * width


def test_paired_difference_agrees_with_scipy():
    generator = np.random.default_rng(3)
    one = generator.normal(size=120)
    two = one + generator.normal(0.05, 0.2, size=120)

    def difference(counts):
        return {"mean": mean_of(two)(counts)["mean"] - mean_of(one)(counts)["mean"]}

    low, high = bootstrap.interval(bootstrap.replicate(difference, 120, 9_000, seed=0)["mean"], 0.9)
    reference = stats.bootstrap(
        (two, one),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=9_000,
        confidence_level=0.9,
        rng=np.random.default_rng(4),
    ).confidence_interval
    width = reference.high - reference.low
    assert abs(low - reference.low) < 0.05 * width and abs(high - reference.high) < 0.05 * width
    assert width < 0.5 * 4 * one.std() / np.sqrt(120)  # what pairing is for: far less than unpaired


def test_counts_are_multinomial():
    chunks = np.concatenate(list(bootstrap.weights(20, 20_000, seed=5)))
    assert chunks.shape == (20_000, 20)
    assert (chunks.sum(1) == 20).all()
    covariance = np.cov(chunks.T)
    np.testing.assert_allclose(np.diag(covariance), 20 * (1 / 20) * (19 / 20), rtol=0.05)
    assert covariance[0, 1] == pytest.approx(-20 / 400, abs=0.03)


def test_counts_come_in_bounded_chunks_and_repeat(monkeypatch):
    whole = np.concatenate(list(bootstrap.weights(300, 50, seed=7)))
    monkeypatch.setattr(bootstrap, "CELLS", 3_000)
    chunks = list(bootstrap.weights(300, 50, seed=7))
    assert max(chunk.size for chunk in chunks) <= 3_000
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    assert not np.array_equal(whole, np.concatenate(list(bootstrap.weights(300, 50, seed=8))))


def test_undefined_replicates_are_left_out():
    assert bootstrap.interval(np.array([0.0, np.nan, 1.0, np.inf]), 1.0) == (0.0, 1.0)
    assert np.isnan(bootstrap.interval(np.array([np.nan]), 0.95)).all()


@pytest.mark.parametrize(("n", "replicates"), [(0, 10), (10, 0)])
def test_nothing_to_resample_is_an_error(n, replicates):
    with pytest.raises(ValueError, match="at least 1"):
        next(bootstrap.weights(n, replicates, seed=0))
