import itertools
from typing import Any

import pytest

from components.evaluation.recommendation import recommend
from components.lib.pages import starts

ACCURACY = {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"}
RMSE = {"better": "lower", "low": 0.0, "high": None, "title": "RMSE"}
SIZES = {"trunk": 12.0, "linear": 3.0, "public": 90.0, "random": 12.0}


def facts(
    *rows: dict[str, float | None],
    half: float = 0.03,
    declared: Any = ACCURACY,
    sizes: Any = SIZES,
    left_out: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Rows of start -> value at 100, 200, ... labels; a difference of more than `half` is shown."""

    def ends(value: float | None) -> dict[str, float | None]:
        return {"value": value, "low": value and value - half, "high": value and value + half}

    labels = [
        {
            "count": 100 * number,
            "starts": {name: ends(value) for name, value in row.items()},
            "differences": [
                {"of": a, "over": b, "detectable": 1.5 * half, **gap(row[a], row[b], half)}
                for a, b in itertools.combinations(row, 2)
            ],
        }
        for number, row in enumerate(rows, 1)
    ]
    compared = {
        "starts": list(rows[0]),
        "seeds": [0, 1, 2],
        "labels": labels,
        "prices": [],
        "stopped": [],
        "left_out": left_out or {},
        "sizes": {name: {"megabytes": size} for name, size in sizes.items()},
    }
    found = {"task": "t", "primary": "m", "metric": {"m": declared}, "examples": 2000, "comparison": compared}
    return {**found, "comparison": compared | recommend(found)}


def gap(a: float | None, b: float | None, half: float) -> dict[str, float | None]:
    if a is None or b is None:
        return {"value": None, "low": None, "high": None}
    return {"value": a - b, "low": a - b - half, "high": a - b + half}


def recommended(found: dict[str, Any]) -> list[str | None]:
    return list(starts.verdict(found, {})["recommended"].values())


def sentence(found: dict[str, Any]) -> str:
    return str(found["comparison"]["sentence"])


def test_the_best_is_recommended_where_it_is_shown_to_be_the_best():
    found = facts({"trunk": 0.7, "linear": 0.5, "random": 0.3}, {"trunk": 0.8, "linear": 0.9, "random": 0.4})
    assert recommended(found) == ["trunk", "linear"] and found["comparison"]["tone"] == ""
    assert sentence(found) == (
        "Use the trunk with 100 labels (+20.0 points of accuracy [+17.0 to +23.0] over a linear model, the "
        "next best); a linear model is better here: use it with 200 labels (+10.0 points of accuracy [+7.0 "
        "to +13.0] over the trunk)."
    )


def test_among_those_that_are_not_shown_to_differ_the_smallest_is_recommended():
    found = facts({"trunk": 0.71, "linear": 0.70, "public": 0.72, "random": 0.3})
    assert recommended(found) == ["linear"] and found["comparison"]["tone"] == "bad"
    assert sentence(found) == (
        "Use a linear model with 100 labels (no difference from the public weights and the trunk is shown, "
        "and it is the cheapest)."
    )


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"trunk": 12.0, "linear": 90.0}, "trunk"),
        ({"trunk": 12.0, "linear": 23.0}, "linear"),  # about as large, and needs no pre-training
        ({"trunk": 12.0, "linear": None}, "trunk"),  # not known: the best
        ({}, "trunk"),
    ],
)
def test_sizes_decide_a_tie_and_near_ones_leave_it_to_pre_training(sizes, expected):
    assert recommended(facts({"trunk": 0.71, "linear": 0.70, "random": 0.3}, sizes=sizes)) == [expected]


@pytest.mark.parametrize(
    ("trunk", "start", "said"),
    [
        (0.66, "public", "Use the public weights with 100 labels (+9.0 points"),  # going on has harmed
        (0.76, "public", "Use the public weights with 100 labels (no difference from the trunk is shown"),
        (0.80, "trunk", "Use the trunk with 100 labels (+5.0 points"),
    ],
)
def test_public_weights_that_were_gone_on_from_are_kept_unless_it_paid(trunk, start, said):
    sizes = {**SIZES, "trunk": SIZES["public"]}
    found = facts({"trunk": trunk, "public": 0.75, "linear": 0.5, "random": 0.1}, sizes=sizes)
    assert recommended(found) == [start] and sentence(found).startswith(said)


def test_random_weights_are_never_the_cheapest():
    sizes = {"trunk": 12.0, "linear": 30.0, "random": 1.0}
    assert recommended(facts({"trunk": 0.01, "linear": 0.0, "random": 0.0}, sizes=sizes)) == ["trunk"]
    assert recommended(facts({"trunk": 0.01, "linear": 0.0, "random": 0.02})) == ["linear"]


def test_what_cannot_be_told_is_said_with_what_could_have_been_shown():
    found = facts({"trunk": 0.9, "linear": 0.5}, half=0.6)
    assert sentence(found) == (
        "Cannot tell which start is best with 100 labels: 2,000 test examples and 3 seeds show no difference "
        "below 90.0 points of accuracy; until then use a linear model, the cheapest."
    )
    assert recommended(found) == ["linear"] and found["comparison"]["tone"] == "warn"
    assert "until then" not in sentence(facts({"trunk": 0.9, "linear": 0.5}, half=0.6, sizes={}))


def test_a_metric_that_is_not_defined_recommends_nothing():
    found = facts({"trunk": None, "linear": None})
    assert recommended(found) == [None] and found["comparison"]["tone"] == "warn"
    assert (
        sentence(found) == "Cannot tell which start is best with 100 labels: accuracy is not defined there."
    )
    assert recommended(facts({"trunk": None, "linear": 0.4})) == ["linear"]


def test_neighbouring_numbers_of_labels_with_the_same_start_are_told_together():
    rows = [{"trunk": 0.7, "linear": value, "random": 0.2} for value in (0.5, 0.55, 0.6)]
    assert sentence(facts(*rows)) == (
        "Use the trunk with 100 to 300 labels (+20.0 points of accuracy [+17.0 to +23.0] over a linear "
        "model, the next best with 100)."
    )
    tied = sentence(facts(*rows, {"trunk": 0.7, "linear": 0.69, "random": 0.2}, sizes={}))
    assert tied.endswith("with 100; with 400 labels no difference from a linear model is shown).")


def test_nothing_is_recommended_for_beating_random_weights_alone():
    alone = facts({"trunk": 0.7, "random": 0.2}, left_out={"linear": "the task has no linear start"})
    assert sentence(alone) == (
        "Cannot tell whether the trunk pays with 100 labels: it was compared with nothing else (+50.0 points "
        "of accuracy [+47.0 to +53.0] over random weights). No linear model was compared: the task has no "
        "linear start."
    )
    assert alone["comparison"]["tone"] == "warn" and recommended(alone) == ["trunk"]
    assert sentence(facts({"trunk": 0.2, "random": 0.7})).startswith(
        "Use random weights with 100 labels (+50.0"
    )
    assert "No linear model was compared." in sentence(facts({"trunk": 0.7, "public": 0.2}))
    assert "No linear" not in sentence(facts({"trunk": 0.7, "linear": 0.2}))
    only = facts({"trunk": 0.7})
    assert sentence(only).startswith(
        "Cannot tell whether the trunk pays with 100 labels: there is no other start"
    )


def test_lower_is_better_where_the_metric_says_so():
    found = facts({"trunk": 2.0, "linear": 3.0, "random": 4.0}, {"trunk": 2.0, "linear": 1.0}, declared=RMSE)
    assert recommended(found) == ["trunk", "linear"]
    assert sentence(found).startswith(
        "Use the trunk with 100 labels (RMSE better by 1 [+0.970 to +1.030] over"
    )
    verdict = starts.verdict(found, {})
    assert verdict["better"] == "lower" and verdict["labels"][0]["differences"][0]["value"] == -1.0


def test_a_start_of_a_plugin_is_named_as_it_is():
    found = facts({"trunk": 0.5, "linear": 0.4, "my_own": 0.8})
    assert sentence(found).startswith("Use the start my_own with 100 labels (+30.0 points of accuracy")
    assert found["comparison"]["tone"] == "bad"


def test_no_labels_and_a_single_one_are_told_in_words():
    counts = ([0], [1], [5], [5, 6], [5, 6, 7])
    words = ["no labels", "1 label", "5 labels", "5 and 6 labels", "5 to 7 labels"]
    assert [starts.labels(one) for one in counts] == words


def test_pages_hold_whatever_is_known_and_no_more():
    """Neither sizes, nor times, nor prices, nor how runs ended: as of a branch that another version made."""
    found = facts({"trunk": 0.7, "linear": None}, sizes={})
    found["metrics"] = {"m": {"value": 0.7, "low": 0.6, "high": 0.8}}
    assert starts.spent(found, {})[1] == [] and [figure.label for figure in starts.figures(found)] == [
        "accuracy of the branch"
    ]
    for headers, rows in (starts.means(found), starts.differences(found), starts.card(found, {})):
        assert all(len(row) == len(headers) for row in rows)
    assert len(starts.curves(found)[1].x) == 0 == len(starts.gaps(found)[0].x)
