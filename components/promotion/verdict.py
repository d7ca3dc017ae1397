"""Verdict of a gate rule, and the paired comparison of challenger and champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RENEWAL = 100  # decisions more, for which fresh labels are counted


@dataclass(frozen=True)
class Finding:
    """A rule's verdict.

    Attributes:
        reason: one sentence with the numbers it rests on.
        numbers: those numbers, for the decision's JSON.
    """

    passed: bool
    reason: str
    numbers: dict[str, Any] = field(default_factory=dict)


def compare(facts: Mapping[str, Any], metric: str, margin: float, what: str) -> Finding | None:
    """One-sided paired test: whether the challenger is better than the champion by more than a margin.

    It is if the paired interval of the gain lies above the margin: a test at the level (1 - confidence) / 2.
    A margin below zero tests for non-inferiority. The gain is (challenger - champion), or the reverse where
    the task declares that lower is better.

    Args:
        facts: of the evaluation.
        metric: empty: the primary one.
        margin: as a share of the metric's range; of the champion's value where that has no end, as an error
            in the units of the data has none.
        what: the claim, with a place for the margin in the metric's units.

    Returns:
        None if there is no champion.
    """
    if not facts.get("champion"):
        return None
    name = metric or facts["primary"]
    found = (facts.get("difference") or {}).get(name) or {}
    numbers: dict[str, Any] = {"metric": name, **{end: found.get(end) for end in ("value", "low", "high")}}
    if found.get("low") is None:
        return Finding(False, f"{name} of challenger and champion cannot be compared", numbers)
    declared = facts["metric"][name]
    ends, lower = (declared["low"], declared["high"]), declared["better"] == "lower"
    size = abs(facts["champion_metrics"][name]["value"]) if None in ends else ends[1] - ends[0]
    bound = (-margin if lower else margin) * size
    passed = found["high"] < bound if lower else found["low"] > bound
    level = f"{facts['confidence']:.0%} interval {found['low']:+.4f} to {found['high']:+.4f}"
    claim = f"{'is' if passed else 'is not surely'} {what.format(f'{abs(bound):.4g}')}"
    of = f"{name} (lower is better)" if lower else name
    reason = f"{of} {claim}: difference {found['value']:+.4f}, {level}, bound {bound:+.4f}"
    return Finding(passed, reason, {**numbers, "bound": bound})
