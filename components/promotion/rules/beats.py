"""Beats: the branch against starts that need no pre-training of ours, such as a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.lib.pages import scorecard
from components.lib.pages.starts import gain, labels, named
from components.promotion.verdict import Finding

CLAIMS = {  # of a test: what it says where it passes, and where it fails
    "inferiority": ("the trunk is not shown to be worse than {}", "the trunk is worse than {}"),
    "noninferiority": ("the trunk is not worse than {}", "the trunk may be worse than {}"),
    "superiority": ("the trunk is better than {}", "the trunk is not shown to be better than {}"),
}


@dataclass(frozen=True)
class Config:
    """What the trunk has to beat, at the number of labels that the branch has.

    The paired interval of (trunk - start), positive where the trunk is better, decides. `inferiority` fails
    where it lies wholly below -margin: the trunk is shown to be worse. `noninferiority` fails unless it lies
    above -margin, `superiority` unless it lies above the margin. Source: ICH E9, 1998, 3.3.
    """

    starts: tuple[str, ...] = setting(
        ("linear", "public"), "of linear, public, random: what the trunk has to beat, where it was compared"
    )
    test: str = setting("inferiority", "how: see above", choices=tuple(CLAIMS))
    margin: float = setting(
        0.0, "as a share of the metric's range, or of the start's value where that has no end", minimum=0.0
    )


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Fails if the trunk does not beat one of the starts; what was not compared is told.

    Most trunks come from no public weights: that these were not compared goes without saying.
    """
    compared = facts.get("comparison")
    if not compared or not config.starts:
        return None
    rows = {row["count"]: row for row in compared["labels"]}
    row = rows[compared["selected"]["labels"]]
    known = {*row["starts"], *compared["left_out"]}
    judged = [one for one in config.starts if one in known or one != "public"] or list(config.starts)
    findings = [_judge(config, facts, row, start) for start in judged]
    reason = f"with {labels([row['count']])}: {'; '.join(one.reason for one in findings)}"
    numbers = {start: one.numbers for start, one in zip(judged, findings, strict=True) if one.numbers}
    return Finding(all(one.passed for one in findings), reason, numbers)


def _judge(config: Config, facts: Mapping[str, Any], row: Mapping[str, Any], start: str) -> Finding:
    found = gain(facts, row, "trunk", start)
    if found.get("low") is None or found.get("high") is None:
        why = facts["comparison"]["left_out"].get(start, "not compared")
        return Finding(True, f"the rule does not apply to {named(start)}: {why}")
    declared = facts["metric"][facts["primary"]]
    ends = (declared["low"], declared["high"])
    size = abs(row["starts"][start]["value"]) if None in ends else ends[1] - ends[0]
    bound = config.margin * size * (1 if config.test == "superiority" else -1)
    passed = found["high"] >= bound if config.test == "inferiority" else found["low"] > bound
    claim = CLAIMS[config.test][not passed].format(named(start))
    share = scorecard.share(facts)
    margin = f", bound {scorecard.points(bound, share)}" if bound else ""
    level = (
        f"{scorecard.level(facts)} interval {scorecard.span(found, differences=True, share=share)}{margin}"
    )
    numbers = {**{end: found[end] for end in ("value", "low", "high")}, "bound": bound}
    return Finding(passed, f"{claim} ({scorecard.gained(facts, found)}, {level})", numbers)
