"""The anchor: what a sequence of retrains may lose in all, and with which certainty."""

import mlflow
import numpy as np
import pytest

from components.evaluation.gaps import gaps, pseudo_values
from components.lib import tasks
from components.lib.registry.registered_models import Registry
from components.promotion import betting, gate, history, life
from components.promotion.config import Config
from tests import models
from tests.components.promotion.test_run import gated, holder, trunk  # noqa: F401  # a fixture

SHARE = {"better": "higher", "low": 0.0, "high": 1.0}


def table(plus, minus, n, bounded=True, size=1.0, metric="accuracy"):
    """Gaps of n examples, on `plus` of which the branch is right and the anchor wrong."""
    values, counts = [-1.0, 0.0, 1.0], [minus, n - plus - minus, plus]
    return {"metric": metric, "size": size, "bounded": bounded, "values": values, "counts": counts}


def accuracy(correct):
    return lambda weights: {"accuracy": weights @ correct / weights.sum(axis=1)}


def test_gaps_of_a_mean_are_what_each_example_says():
    generator = np.random.default_rng(0)
    a, b = (generator.integers(0, 2, 500).astype(float) for _ in range(2))
    found = gaps(accuracy(a), accuracy(b), 500, "accuracy", SHARE)
    expected = np.unique(a - b, return_counts=True)
    assert (found["values"], found["counts"]) == ([-1.0, 0.0, 1.0], list(expected[1])) and found["bounded"]
    reverse = gaps(accuracy(a), accuracy(b), 500, "accuracy", SHARE | {"better": "lower"})
    assert reverse["counts"] == found["counts"][::-1]


def test_gaps_of_an_error_in_the_data_s_units_are_shares_of_the_anchor_s():
    error = {"better": "lower", "low": 0.0, "high": None}
    first, second = (
        lambda w, e=e: {"mae": w @ np.array(e) / w.sum(axis=1)} for e in ([1.0, 3.0], [4.0, 6.0])
    )
    found = gaps(first, second, 2, "mae", error)
    assert (found["size"], found["values"], found["counts"]) == (5.0, [0.6], [2]) and not found["bounded"]


def test_pseudo_values_of_f1_are_the_jackknife_s():
    task = tasks.load("sequence_classification")
    generator = np.random.default_rng(1)
    n = 60
    columns = {"label": generator.integers(0, 3, n), "prediction": generator.integers(0, 3, n)}
    columns["confidence"] = np.ones(n)
    statistic = lambda weights: task.metrics(columns, weights, list("abc"))  # noqa: E731
    found = pseudo_values(statistic, n, "macro_f1")
    whole = statistic(np.ones((1, n)))["macro_f1"][0]
    for left in (0, n - 1):
        keep = {name: np.delete(values, left) for name, values in columns.items()}
        without = task.metrics(keep, np.ones((1, n - 1)), list("abc"))["macro_f1"][0]
        assert found[left] == pytest.approx(n * whole - (n - 1) * without)


@pytest.mark.parametrize(("flips", "n"), [(0.02, 1000), (0.3, 300), (0.5, 60)])
def test_a_model_at_the_margin_is_found_within_it_no_more_often_than_the_level_allows(flips, n):
    margin, draws, generator = 0.02, 4000, np.random.default_rng(2)
    up, down = (flips - margin) / 2, (flips + margin) / 2  # the mean difference is exactly -margin
    counts = generator.multinomial(n, [up, down, 1 - up - down], draws)
    found = np.array([betting.doubt(table(plus, minus, n), margin) for plus, minus, _ in counts[:1000]])
    for alpha in (0.05, 0.01):
        assert np.mean(found <= alpha) <= alpha + 3 * np.sqrt(alpha / len(found))


def test_evidence_grows_with_examples_and_the_number_that_is_needed_is_enough():
    few, many = (betting.doubt(table(n // 20, n // 20, n), 0.02) for n in (400, 20_000))
    assert few > 0.05 and many < 1e-6
    needed = betting.examples(table(20, 20, 400), 0.02, 0.01)
    assert 1000 < needed < 5000
    assert betting.doubt(table(needed // 20, needed // 20, needed), 0.02) <= 0.05
    assert sum(betting.level(0.05, k) for k in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    unbounded = table(30, 10, 400, bounded=False)
    assert betting.doubt(unbounded, 0.0) < 0.01 < betting.doubt(table(10, 30, 400, bounded=False), 0.0)


@pytest.mark.parametrize(
    ("given", "decision", "passed", "said"),
    [
        (None, 1, None, ""),
        (table(50, 50, 10_000), 1, True, "is within 0.02 of the anchor (version 3)"),
        (table(50, 50, 10_000) | {"values": None}, 1, False, "cannot be compared"),
        (table(50, 50, 3000), 1, True, "decision 1"),
        (table(50, 50, 3000), 500, False, "an equal model would need"),
        (table(0, 300, 10_000), 1, False, "difference -0.0300 on 10,000 examples"),
    ],
)
def test_the_rule_says_what_it_should(given, decision, passed, said):
    (rule,) = gate.load({"anchor": {}})
    facts = {"anchor_gaps": given, "anchor": {"version": "3"}, "decision": decision}
    found = rule.judge(facts)
    assert (found and found.passed) == passed and (found is None or said in found.reason)


def test_many_small_losses_end_at_the_anchor_and_a_gain_moves_it(tracked, tmp_path, trunk):  # noqa: F811
    registry, config = (
        Registry(tracked.tracking_uri),
        Config({"anchor": {}, "noninferiority": {"margin": 0.01}}),
    )
    branches = [models.branch(tracked.store, trunk, seed) for seed in range(5)]
    verdicts = []
    for number, (plus, minus) in enumerate([(0, 0), (50, 100), (50, 280), (50, 40), (600, 100)]):
        champion = registry.find("news-topics", "champion")
        anchor = registry.find("news-topics", "anchor")
        of = {one.reference: one for one in branches}
        given = (
            {"anchor_gaps": table(plus, minus, 10_000), "anchor": {"version": anchor.version}}
            if anchor
            else {}
        )
        rival = (of[champion.reference], champion.version) if champion else None
        scored = models.evaluation(
            tracked.store, branches[number], rival, difference=(0.0, -0.008, 0.001), more=given
        )
        _, decision = gated(tracked, tmp_path, [scored], config)
        (task,) = decision["tasks"]
        verdicts.append(task["verdict"])
        assert task["decision"] == number + 1
        assert holder(tracked, "anchor") == branches[4 if number == 4 else 0].reference
    assert verdicts == ["promoted", "promoted", "rejected", "promoted", "promoted"]
    assert holder(tracked, "champion") == branches[4].reference
    page = (tmp_path / "report.html").read_text()
    assert "Life of news-topics: all decisions" in page and "version of the test set, since" in page
    last = {"decisions on this model": 5, "of them by this version of the test set": 5}
    told = life.budget(history.decisions(tracked.store, registry, "news-topics"))
    assert last.items() <= told.items() and all(value is not None for value in told.values())
    client, version = mlflow.MlflowClient(tracked.tracking_uri), registry.find("news-topics", "champion")
    assert "## Test set" in client.get_model_version("news-topics", version.version).description
    found = life.curves(history.decisions(tracked.store, registry, "news-topics"))
    assert [(one.name, list(one.x)) for one in found] == [
        ("champion", [1, 2, 4, 5]),
        ("not promoted", [3]),
        ("anchor", [2, 3, 4, 5]),
    ]
