import numpy as np
import pytest

from components.lib.core import bootstrap
from components.lib.core.errors import ConfigErrors
from components.promotion import gate


def facts(low=None, high=None, value=None, better="higher", most=1.0, **metrics):
    """Facts of an evaluation; with `low`, also a champion and the paired difference in accuracy.

    `accuracy` is better so, and ends at `most`; the champion's is 2.
    """
    entries = {name: {"value": number, "low": number, "high": number} for name, number in metrics.items()}
    entries = {"accuracy": {"value": 0.8, "low": 0.78, "high": 0.82}, **entries}
    difference = {"accuracy": {"value": value if value is not None else low, "low": low, "high": high}}
    difference |= {name: {"value": 0.01, "low": 0.0, "high": 0.02} for name in metrics}
    champion = {"name": "news-topics", "version": "1", "reference": "r"} if low is not None else None
    return {
        "task": "topics",
        "primary": "accuracy",
        "confidence": 0.95,
        "metric": {"accuracy": {"better": better, "low": 0.0, "high": most}},
        "metrics": entries,
        "champion": champion,
        "champion_metrics": {"accuracy": {"value": 2.0}} if champion else None,
        "difference": difference if champion else None,
    }


@pytest.mark.parametrize(
    ("rule", "options", "given", "passed"),
    [
        ("floors", {"minimum": {"accuracy": 0.8}}, facts(), True),
        ("floors", {"minimum": {"accuracy": 0.81}}, facts(), False),
        ("floors", {"maximum": {"calibration_error": 0.1}}, facts(calibration_error=0.2), False),
        ("floors", {"maximum": {"calibration_error": 0.1}}, facts(calibration_error=0.1), True),
        ("floors", {"minimum": {"topics/accuracy": 0.9}}, facts(), False),
        ("floors", {"minimum": {"other/accuracy": 0.9}}, facts(), None),
        ("floors", {"minimum": {"topics/recall": 0.1}}, facts(), False),  # it was asked for and not measured
        ("floors", {"minimum": {"recall": 0.1}}, facts(), None),
        ("floors", {}, facts(), None),
        ("noninferiority", {"margin": 0.01}, facts(), None),
        ("noninferiority", {"margin": 0.01}, facts(low=-0.009, high=0.02), True),
        ("noninferiority", {"margin": 0.01}, facts(low=-0.01, high=0.02), False),
        ("noninferiority", {"margin": 0.01, "metric": "recall"}, facts(low=0.1, high=0.2), False),
        ("superiority", {}, facts(low=0.001, high=0.02), True),
        ("superiority", {}, facts(low=0.0, high=0.02), False),
        ("superiority", {"margin": 0.01}, facts(low=0.009, high=0.02), False),
        ("superiority", {}, facts(), None),
        ("superiority", {}, facts(low=-0.02, high=-0.001, better="lower"), True),
        ("superiority", {}, facts(low=0.001, high=0.02, better="lower"), False),
        ("noninferiority", {"margin": 0.01}, facts(low=-0.02, high=0.009, better="lower"), True),
        ("noninferiority", {"margin": 0.01}, facts(low=-0.02, high=0.01, better="lower"), False),
        # A margin is a share: of the range, or of the champion's value where the range has no end.
        ("noninferiority", {"margin": 0.01}, facts(low=-0.9, high=2.0, most=100.0), True),
        ("noninferiority", {"margin": 0.01}, facts(low=-1.1, high=2.0, most=100.0), False),
        ("noninferiority", {"margin": 0.01}, facts(low=-1.0, high=0.019, better="lower", most=None), True),
        ("noninferiority", {"margin": 0.01}, facts(low=-1.0, high=0.021, better="lower", most=None), False),
        ("superiority", {"margin": 0.1}, facts(low=-1.0, high=-0.21, better="lower", most=None), True),
        ("superiority", {"margin": 0.1}, facts(low=-1.0, high=-0.19, better="lower", most=None), False),
        ("calibration", {}, facts(), None),
        ("calibration", {"maximum": 0.1}, facts(calibration_error=0.11), False),
        (
            "calibration",
            {"maximum": 0.2, "margin": 0.03},
            facts(low=0.0, high=0.0, calibration_error=0.11),
            True,
        ),
        (
            "calibration",
            {"maximum": 0.2, "margin": 0.01},
            facts(low=0.0, high=0.0, calibration_error=0.11),
            False,
        ),
    ],
)
def test_a_rule_says_what_it_should(rule, options, given, passed):
    (loaded,) = gate.load({rule: options})
    finding = loaded.judge(given)
    assert (finding.passed if finding else None) == passed
    if finding:
        assert finding.reason and finding.numbers


def compared(*ends, better="higher", most=1.0, **left_out):
    """Facts of an evaluation with the difference of the trunk from a linear model at 20 and at 80 labels.

    That at 80, where the branch is, has the interval `ends`; without, no linear model was run.
    """
    far = {"of": "trunk", "over": "linear", "value": -0.5, "low": -0.6, "high": -0.4}
    near = far | dict(zip(("low", "high"), ends, strict=True), value=sum(ends) / 2) if ends else far
    entry = {"value": 2.0, "low": 1.9, "high": 2.1}
    rows = [
        {"count": count, "starts": {"trunk": entry, "linear": entry}, "differences": [one] if ends else []}
        for count, one in ((20, far), (80, near))
    ]
    found = {"labels": rows, "selected": {"labels": 80, "seed": 0}, "left_out": left_out}
    return facts(better=better, most=most) | {"comparison": found}


@pytest.mark.parametrize(
    ("options", "given", "passed"),
    [
        ({}, compared(-0.04, -0.01), False),  # shown to be worse
        ({}, compared(-0.04, 0.0), True),  # not shown
        ({}, compared(0.1, 0.2), True),
        ({}, compared(0.01, 0.04, better="lower"), False),
        ({}, compared(-0.04, -0.01, better="lower"), True),
        ({"margin": 0.02}, compared(-0.04, -0.01), True),
        ({"margin": 0.02}, compared(-0.06, -0.03), False),
        ({"margin": 0.02}, compared(0.06, 0.3, better="lower", most=None), False),  # a share of its 2.0
        ({"margin": 0.02}, compared(0.03, 0.3, better="lower", most=None), True),
        ({"test": "noninferiority"}, compared(-0.01, 0.3), False),
        ({"test": "noninferiority", "margin": 0.02}, compared(-0.01, 0.3), True),
        ({"test": "superiority"}, compared(0.0, 0.3), False),
        ({"test": "superiority"}, compared(0.01, 0.3), True),
        ({"test": "superiority", "margin": 0.02}, compared(0.01, 0.3), False),
        ({}, compared(linear="the modality has none"), True),
        ({"starts": ["linear", "public"]}, compared(-0.04, -0.01), False),
        ({"starts": []}, compared(-0.04, -0.01), None),
        ({}, facts(), None),  # of a version that compared no starts
    ],
)
def test_a_branch_has_to_beat_what_needs_no_pre_training(options, given, passed):
    (rule,) = gate.load({"beats": options})
    finding = rule.judge(given)
    assert (finding.passed if finding else None) == passed


def test_beats_says_what_it_rests_on_and_what_was_left_out():
    (rule,) = gate.load({"beats": {"starts": ["linear", "public"], "margin": 0.005}})
    finding = rule.judge(compared(-0.04, -0.01))
    assert finding.reason == (
        "with 80 labels: the trunk is worse than a linear model (\u22122.5 points of accuracy, 95 % interval "
        "\u22124.0 to \u22121.0, bound \u22120.5)"
    )
    assert finding.numbers == {"linear": {"value": -0.025, "low": -0.04, "high": -0.01, "bound": -0.005}}
    reason = rule.judge(compared(linear="the modality has none", public="no network")).reason
    assert "does not apply to a linear model: the modality has none" in reason and "no network" in reason
    (alone,) = gate.load({"beats": {"starts": ["public"]}})
    assert "does not apply to the public weights: not compared" in alone.judge(compared(-0.04, -0.01)).reason
    with pytest.raises(ConfigErrors, match="superiority"):
        gate.load({"beats": {"test": "better"}})


def test_going_on_has_to_be_no_worse_than_the_public_weights_as_they_are():
    given = compared(0.1, 0.2)
    for row in given["comparison"]["labels"]:
        lost = {"of": "public", "over": "trunk", "value": 0.02, "low": 0.01, "high": 0.03}
        row["starts"]["public"] = row["starts"]["trunk"]
        row["differences"].append(lost)
    finding = gate.load({"beats": {}})[0].judge(given)
    assert not finding.passed and "the trunk is worse than the public weights" in finding.reason


def test_the_reason_names_direction_and_bound_in_the_units_of_the_metric():
    (rule,) = gate.load({"noninferiority": {"margin": 0.01}})
    finding = rule.judge(facts(low=0.1, high=0.3, value=0.2, better="lower", most=None))
    assert finding.reason == (
        "accuracy (lower is better) is not surely within 0.02 of the champion or better: difference +0.2000, "
        "95% interval +0.1000 to +0.3000, bound +0.0200"
    )
    assert finding.numbers["bound"] == pytest.approx(0.02)


def test_all_that_is_wrong_with_the_rules_is_said_at_once():
    with pytest.raises(ConfigErrors) as caught:
        gate.load(
            {"flors": {}, "noninferiority": {"margin": -1.0, "mrgin": 1}, "superiority": {"margin": "x"}}
        )
    text = str(caught.value)
    assert "did you mean 'floors'" in text and "promotion.rules.noninferiority.margin" in text
    assert "did you mean 'margin'" in text and "promotion.rules.superiority.margin" in text


def test_one_failure_fails_the_gate():
    rules = gate.load({"floors": {"minimum": {"accuracy": 0.9}}, "noninferiority": {}})
    judged = gate.judge(rules, facts(low=0.1, high=0.2))
    assert not judged["passed"]
    assert [(finding["rule"], finding["passed"]) for finding in judged["findings"]] == [
        ("floors", False),
        ("noninferiority", True),
    ]


def promotions(difference, margin, trials=300, n=400, disagree=0.1, seed=0):
    """Share of simulated challengers that pass non-inferiority.

    The two systems disagree on a tenth of the examples; `difference` is the true gap in accuracy.
    """
    generator = np.random.default_rng(seed)
    (rule,) = gate.load({"noninferiority": {"margin": margin}})
    passed = 0
    for trial in range(trials):
        kind = generator.choice(
            3, size=n, p=[1 - disagree, (disagree + difference) / 2, (disagree - difference) / 2]
        )
        gap = np.array([0.0, 1.0, -1.0])[kind]

        def statistic(counts, gap=gap):
            return {"accuracy": counts @ gap / n}

        low, high = bootstrap.interval(bootstrap.replicate(statistic, n, 400, seed=trial)["accuracy"], 0.95)
        finding = rule.judge(facts(low=low, high=high, value=gap.mean()))
        passed += finding.passed
    return passed / trials


def test_false_promotions_are_as_rare_as_they_should_be():
    """A challenger that is worse by the margin passes with (1 - confidence) / 2 = 2.5 %."""
    rate = promotions(difference=-0.03, margin=0.03)
    assert rate < 0.025 + 3 * np.sqrt(0.025 * 0.975 / 300)  # three standard errors of the simulation


def test_an_equal_model_is_promoted_where_the_margin_allows():
    """Exact power under normality: P(Z > 1.96 - 0.05 / 0.0158) = 0.885."""
    assert promotions(difference=0.0, margin=0.05, trials=150) > 0.885 - 3 * np.sqrt(0.885 * 0.115 / 150)
