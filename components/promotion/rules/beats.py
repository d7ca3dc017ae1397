"""Beats: the branch against a start that needs no pre-training of ours, such as a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.lib.pages import scorecard
from components.lib.pages.starts import gain, labels, listed, named
from components.promotion.verdict import Finding


@dataclass(frozen=True)
class Config:
    """What the trunk has to beat, at the number of labels that the branch has.

    The paired interval of (trunk - start), positive where the trunk is better, decides. `inferiority` fails
    where it lies wholly below -margin: the trunk is shown to be worse. `noninferiority` fails unless it lies
    above -margin, `superiority` unless it lies above the margin. Source: ICH E9, 1998, 3.3.
    """

    starts: tuple[str, ...] = setting(("linear",), "of linear, public, random: what the branch has to beat")
    test: str = setting(
        "inferiority", "what fails it", choices=("inferiority", "noninferiority", "superiority")
    )
    margin: float = setting(
        0.0, "as a share of the metric's range, or of the start's value where that has no end", minimum=0.0
    )


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Says which of the starts were left out; what was not compared does not fail a branch."""
    compared = facts.get("comparison")
    if not compared:
        return None
    rows = {row["count"]: row for row in compared["labels"]}
    row = rows[(compared.get("selected") or {}).get("labels", max(rows))]
    failed, said, numbers = [], [], dict[str, Any]()
    for start in config.starts:
        found = gain(facts, row, "trunk", start)
        if found.get("low") is None or found.get("high") is None:
            reason = compared["left_out"].get(start, "it was not run")
            said.append(f"{named(start)} was not compared ({reason}): the rule does not apply")
            continue
        bound = config.margin * _size(facts, row["starts"][start]["value"])
        numbers[start] = {**{end: found[end] for end in ("value", "low", "high")}, "bound": bound}
        if not _passes(config.test, found, bound):
            failed.append(start)
        said.append(_told(config.test, facts, found, start, start in failed, bound))
    words = labels([row["count"]])
    return Finding(not failed, f"with {words}: {listed(said)}" if said else "", numbers) if said else None


def _size(facts: Mapping[str, Any], value: float) -> float:
    """What a margin is a share of."""
    declared = facts["metric"][facts["primary"]]
    ends = (declared["low"], declared["high"])
    return abs(value) if None in ends else float(ends[1] - ends[0])


def _passes(test: str, found: Mapping[str, float], bound: float) -> bool:
    if test == "inferiority":
        return found["high"] >= -bound
    return found["low"] > (bound if test == "superiority" else -bound)


def _told(
    test: str, facts: Mapping[str, Any], found: Mapping[str, Any], start: str, failed: bool, bound: float
) -> str:
    share, what = scorecard.share(facts), f"{named(start)}{f' by {bound:.4g}' if bound else ''}"
    claims = {
        "inferiority": (
            f"the trunk is not shown to be worse than {what}",
            f"{what} is better than the trunk",
        ),
        "noninferiority": (f"the trunk is not worse than {what}", f"the trunk may be worse than {what}"),
        "superiority": (
            f"the trunk is better than {what}",
            f"the trunk is not shown to be better than {what}",
        ),
    }
    ends = scorecard.span(found, differences=True, share=share)
    return (
        f"{claims[test][failed]} ({scorecard.gained(facts, found)}, {scorecard.level(facts)} interval {ends})"
    )
