"""Verdict of a gate rule, and the paired comparison of challenger and champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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


def compare(facts: Mapping[str, Any], metric: str, bound: float, what: str) -> Finding | None:
    """One-sided paired test: whether the challenger is better than the champion by more than `bound`.

    It is if the paired interval of the gain lies above `bound`: a test at the level (1 - confidence) / 2. A
    bound below zero tests for non-inferiority. The gain is (challenger - champion), or the reverse where the
    task declares that lower is better.

    Returns:
        None if there is no champion.
    """
    if not facts.get("champion"):
        return None
    name = metric or facts["primary"]
    found = (facts.get("difference") or {}).get(name) or {}
    numbers = {"metric": name, "bound": bound, **{end: found.get(end) for end in ("value", "low", "high")}}
    if found.get("low") is None:
        return Finding(False, f"{name} of challenger and champion cannot be compared", numbers)
    lower = facts["metric"][name]["better"] == "lower"
    passed = found["high"] < -bound if lower else found["low"] > bound
    level = f"{facts['confidence']:.0%} interval {found['low']:+.4f} to {found['high']:+.4f}"
    word, edge = "is" if passed else "is not surely", -bound if lower else bound
    reason = f"{name} {word} {what}: difference {found['value']:+.4f}, {level}, bound {edge:+.4f}"
    return Finding(passed, reason, numbers)
