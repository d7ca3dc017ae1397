"""Slices: no part of the examples (a language, a source) gets clearly worse than with the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.promotion import betting
from components.promotion.sliced import Judged, told
from components.promotion.verdict import Finding


@dataclass(frozen=True)
class Config:
    """A better mean may hide a language that is lost. `slices` of a task names what they are.

    Each slice is asked twice, by betting, which holds for three examples as for a million: is it shown to be
    worse than the champion's by more than `margin`, and is it shown not to be? The error is shared equally
    among all slices (Bonferroni). Where neither is shown, the rule cannot tell, and says so.
    """

    fields: tuple[str, ...] = setting((), "the fields that are protected; empty: all slices of the task")
    margin: float = setting(
        0.02,
        "loss that is accepted, as a share of the metric's range, or of the champion's value",
        minimum=0.0,
    )
    error: float = setting(
        0.05, "chance that any slice is called worse that is not", minimum=1e-9, maximum=1.0
    )


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Fails if a slice is shown to be worse; None where there are no slices, or no champion."""
    rows = [row for row in facts.get("slices") or [] if not config.fields or row["field"] in config.fields]
    absent = sorted(set(config.fields) - {row["field"] for row in rows})
    if not facts.get("champion") or not (rows or absent):
        return None
    if absent:
        reason = f"there is no slice {', '.join(absent)}: name it in `slices` of the task, too"
        return Finding(False, reason, {"absent": absent})
    if any(row["champion_gaps"] is None for row in rows):
        return Finding(False, "slices of challenger and champion cannot be compared here: the next run does")
    alpha = config.error / len(rows)
    found = [_judged(row, config.margin, alpha) for row in rows]
    reason = f"against the champion, by more than {config.margin:g} of the range: {told(found)}"
    numbers = {"margin": config.margin, "level": alpha, "slices": [one.numbers for one in found]}
    return Finding(not any(one.verdict == "worse" for one in found), reason, numbers)


def _judged(row: Mapping[str, Any], margin: float, alpha: float) -> Judged:
    gaps = row["champion_gaps"]
    if gaps["values"] is None:
        return Judged(row, "cannot tell")
    worse, within = betting.doubt(betting.reversed_gaps(gaps), -margin), betting.doubt(gaps, margin)
    verdict = "worse" if worse <= alpha else "not worse" if within <= alpha else "cannot tell"
    return Judged(row, verdict, min(worse, within), betting.examples(gaps, margin, alpha))
