"""The life of a registered model: every decision on it, with values, intervals and the anchor's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages.charts import GREY, Series
from components.promotion.verdict import RENEWAL


def curves(life: Sequence[Mapping[str, Any]]) -> list[Series]:
    """The primary metric of champions, of what was not promoted, and of the anchor, over decisions."""
    rejected = [one for one in life if one["verdict"] == "rejected"]
    promoted = [one for one in life if one["verdict"] != "rejected"]
    held = [(one["decision"], anchor) for one in life if (anchor := _anchor(one)) is not None]
    series = [
        _series("champion", promoted, 0, joined=True),
        _series("not promoted", rejected, 1, joined=False),
        Series("anchor", [x for x, _ in held], [y for _, y in held], colour=GREY, dashed=True),
    ]
    return [one for one in series if one.x]


def budget(life: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """How often the test set of the last decision was asked, how long it lasts, and what renews it."""
    last = life[-1]
    numbers: Mapping[str, Any] = next((f["numbers"] for f in last["findings"] if f["rule"] == "anchor"), {})
    if not numbers:
        return {}
    asked = sum(one["test_set"] == last["test_set"] for one in life)
    left = numbers.get("decisions_left")
    return {
        "decisions on this model": numbers["decision"],
        "of them by this version of the test set": asked,
        "decisions left, in which its examples show an equal model within the drift": (
            "more than a million" if left is None else left
        ),
        f"fresh labels that make it last for {RENEWAL} decisions more": numbers.get("renewal"),
        "test examples": numbers["examples"],
        "test examples that show an equal model within the drift": numbers["examples_needed"],
        "fresh labels to get there": max(numbers["examples_needed"] - numbers["examples"], 0),
        "p of this branch": f"{numbers['p']:.2g}",
        "level that it had to reach": f"{numbers['level']:.2g}",
    }


def test_sets(versions: Sequence[Mapping[str, Any]]) -> list[list[object]]:
    """Rows: each version of the test set, numbered, with its first day."""
    return [
        [f"{number}, {one['since']}", one["examples"], one["fresh"], one["decisions"]]
        for number, one in enumerate(versions, 1)
    ]


def _series(name: str, life: Sequence[Mapping[str, Any]], colour: int, *, joined: bool) -> Series:
    known = [(one["decision"], one["metrics"][one["primary"]]) for one in life]
    known = [(number, entry) for number, entry in known if None not in entry.values()]
    ends = {end: [entry[end] for _, entry in known] for end in ("value", "low", "high")}
    at = [number for number, _ in known]
    return Series(name, at, ends["value"], ends["low"], ends["high"], colour=colour, joined=joined)


def _anchor(decided: Mapping[str, Any]) -> float | None:
    """The anchor's value on the examples of a decision."""
    for finding in decided["findings"]:
        if finding["rule"] == "anchor" and "value" in finding["numbers"]:
            value = decided["metrics"][decided["primary"]]["value"]
            return None if value is None else float(value - finding["numbers"]["value"])
    return None
