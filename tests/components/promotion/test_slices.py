"""The gate on slices: a part that is lost is seen, a small one is told as such, and many are no pretext."""

import dataclasses

import numpy as np
import pytest

from components.promotion import betting, gate
from tests.components.promotion.test_anchor import table

CHAMPION = {"name": "m", "version": "3", "reference": "r"}


def row(value, plus, minus, n, rival="champion"):
    gaps = dict.fromkeys(("champion_gaps", "anchor_gaps")) | {f"{rival}_gaps": table(plus, minus, n)}
    return {"field": "language", "value": value, "examples": n, **gaps}


def judged(rows, rule="slices", champion=CHAMPION, **options):
    (loaded,) = gate.load({rule: options})
    facts = {"champion": champion, "slices": rows, "anchor": CHAMPION, "decision": 1}
    facts["anchor_gaps"] = table(100, 100, 20_000)
    return loaded.judge(facts)


GOOD, LOST, SMALL = row("en", 40, 40, 5000), row("fr", 5, 60, 300), row("de", 0, 3, 3)


@pytest.mark.parametrize(
    ("rows", "options", "passed", "said"),
    [
        ([], {}, None, ""),
        ([GOOD], {}, True, "not worse: 1 of 1 slices"),
        ([GOOD, LOST], {}, False, "worse: 1 of 2 slices (language = fr: 300 examples)"),
        ([GOOD, LOST], {"margin": 0.3}, True, "not worse: 2 of 2 slices"),
        ([GOOD, LOST], {"fields": ["source"]}, False, "there is no slice source"),
        ([SMALL], {}, True, "cannot tell: 1 of 1 slices (language = de: 3 examples, "),
        ([row("en", 3, 12, 5000)], {}, True, "not worse: 1 of 1"),
        ([GOOD | {"champion_gaps": None}], {}, False, "the next run does"),
        ([row(f"l{i}", 1, 2, 40) for i in range(9)], {}, True, "cannot tell: 9 of 9 slices (language = l0"),
    ],
)
def test_what_the_rule_says(rows, options, passed, said):
    found = judged(rows, **options)
    assert (found and found.passed) == passed and (found is None or said in found.reason)


def test_without_a_champion_there_is_no_claim():
    assert judged([LOST], champion=None) is None


def test_the_number_that_could_tell_is_enough():
    (small,) = judged([SMALL]).numbers["slices"]
    n = small["examples_needed"]
    assert n > 100 and judged([row("de", 0, 0, n)]).numbers["slices"][0]["verdict"] == "not worse"


@pytest.mark.parametrize("n", [3, 30, 300])
def test_slices_that_lose_just_the_margin_are_seldom_called_worse(n):
    """Of ten slices, each at the margin, any is called worse in at most 5 % of the cases."""
    generator, margin, trials = np.random.default_rng(n), 0.02, 300
    up, down = 0.1, 0.1 + margin
    wrong = 0
    for counts in generator.multinomial(n, [up, down, 1 - up - down], (trials, 10)):
        rows = [row(str(i), plus, minus, n) for i, (plus, minus, _) in enumerate(counts)]
        wrong += not judged(rows).passed
    assert wrong / trials <= 0.05 + 3 * np.sqrt(0.05 / trials)


@pytest.mark.parametrize(
    ("rows", "passed", "said"),
    [
        ([row("en", 30, 30, 9000, "anchor")], True, "not worse: 1 of 1 slices"),
        (
            [row("en", 30, 30, 9000, "anchor"), row("fr", 0, 60, 300, "anchor")],
            False,
            "worse: 1 of 2 slices (language = fr",
        ),
        ([row("en", 100, 500, 9000, "anchor")], False, "may be worse: 1 of 1 slices"),
        ([row("de", 0, 1, 3, "anchor")], True, "cannot tell: 1 of 1 slices (language = de: 3 examples, "),
    ],
)
def test_the_anchor_holds_slices_too(rows, passed, said):
    found = judged(rows, rule="anchor", slice_test="noninferiority")
    assert found.passed == passed and said in found.reason
    usual = judged(rows, rule="anchor")
    assert usual.passed == (passed or "may be worse" in said)


def test_the_anchor_s_error_is_shared_by_the_whole_and_its_slices():
    """By half each, and their half equally: all together spend no more than before."""
    alone, shared = judged([], rule="anchor"), judged([row("en", 1, 1, 9000, "anchor")], rule="anchor")
    assert shared.numbers["level"] == alone.numbers["level"] / 2 == betting.level(0.025, 1) / 2


def test_decisions_that_are_left_are_those_for_which_the_examples_are_enough():
    (rule,) = gate.load({"anchor": {}})
    facts = {"anchor": CHAMPION, "anchor_gaps": table(60, 60, 3000), "decision": 1}
    left = rule.judge(facts).numbers["decisions_left"]
    needed = [
        rule.judge(facts | {"decision": number}).numbers["examples_needed"] for number in (1 + left, 2 + left)
    ]
    assert left > 1 and needed[0] <= 3000 < needed[1]
    assert rule.judge(facts | {"decision": 500}).numbers["decisions_left"] == 0
    far = rule.judge(facts | {"anchor_gaps": table(10, 10, 10**6)})
    assert far.numbers["decisions_left"] is None and dataclasses.asdict(far)
