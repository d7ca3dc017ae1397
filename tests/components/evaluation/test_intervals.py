from typing import Any

import numpy as np
import pytest
from scipy import stats

from components.evaluation.config import Config
from components.evaluation.intervals import estimates
from components.lib.core import bootstrap
from components.lib.core.bootstrap import summary
from tests.components.evaluation.test_comparison import SHARE, share


def test_metric_intervals_match_scipy() -> None:
    generator = np.random.default_rng(9)
    correct = (generator.random(300) < 0.7).astype(np.float64)
    other = np.where(generator.random(300) < 0.1, 1 - correct, correct)

    def metrics(values: np.ndarray) -> Any:
        return lambda weights: {"accuracy": share({"correct": values}, weights)}

    config = Config("m", replicates=8000)
    systems = {"challenger": metrics(correct), "champion": metrics(other)}
    found, difference, _ = estimates(config, systems, 300, {})
    apart = [estimates(config, {name: system}, 300, {})[2] for name, system in systems.items()]
    kept = [bootstrap.unpacked(bootstrap.packed(drawn), drawn) for drawn in apart]
    assert bootstrap.paired(*kept, 300, config.confidence, {}) == difference, "in two jobs as in one"
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


def test_metrics_of_few_examples_say_how_few_they_are() -> None:
    """All of 20 right: at least 83 % are (Clopper and Pearson); two systems that agree may differ as much."""

    def right(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"accuracy": np.ones(len(weights)), "other": np.ones(len(weights))}

    systems = {"challenger": right, "champion": right}
    found, gaps, _ = estimates(Config("m", replicates=100), systems, 20, {"accuracy": SHARE})
    least = stats.binomtest(20, 20).proportion_ci(0.95, "exact").low
    assert found["challenger"]["accuracy"] == {
        "value": 1.0,
        "low": pytest.approx(least, abs=1e-6),
        "high": 1.0,
    }
    assert found["challenger"]["other"]["low"] == 1.0  # its range is not declared
    assert gaps["accuracy"]["low"] == -gaps["accuracy"]["high"] == pytest.approx(least - 1, abs=1e-6)


def test_one_system_has_no_difference() -> None:
    assert (
        estimates(Config("m", replicates=100), {"challenger": lambda w: {"a": w.mean(axis=1)}}, 5, {})[1]
        == {}
    )


def test_undefined_is_null_with_a_reason_never_zero() -> None:
    nowhere = float("nan")
    assert summary(nowhere, nowhere, nowhere) == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "not defined on these examples: there is nothing to divide by",
    }
    assert summary(0.0, nowhere, nowhere) == {"value": 0.0, "low": None, "high": None}
