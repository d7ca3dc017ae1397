"""Anchor: no champion of a whole sequence of retrains is worse than a fixed model by more than a drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.settings import setting
from components.promotion import betting
from components.promotion.sliced import Judged, told
from components.promotion.verdict import RENEWAL, Finding


@dataclass(frozen=True)
class Config:
    """The rule for many retrains: each may be a little worse than the last one, and a hundred of them a lot.

    The anchor is the first champion (alias `anchor`), until one that is shown to be better takes its place,
    or a person moves the alias. Half of `error` is for drifting, half for moving the anchor.

    Where a task has slices, they share half of what is for drifting, equally (Bonferroni). By `inferiority` a
    slice fails if it is shown to be worse than the anchor by more than `slice_drift`. By `noninferiority` it
    must be shown not to be, if it has examples enough for that: as many as show it of an equal model in all
    but 20 % / slices of the cases, so that such a model passes with all of them in 80 %.
    """

    drift: float = setting(
        0.02,
        "greatest loss against the anchor, as a share of the metric's range, or of the anchor's value",
        minimum=0.0,
    )
    slice_drift: float = setting(0.05, "greatest loss of a slice, as `drift`", minimum=0.0)
    slice_test: str = setting("inferiority", "see above", choices=("inferiority", "noninferiority"))
    error: float = setting(
        0.05, "chance that any champion of the sequence is worse than that", minimum=1e-9, maximum=1.0
    )


def judge(config: Config, facts: Mapping[str, Any]) -> Finding | None:
    """Passes if the branch is shown to be within `drift` of the anchor; None where there is no other anchor.

    Args:
        facts: of the evaluation, and `decision`: its number among those of the model, from 1.
    """
    gaps = facts.get("anchor_gaps")
    if not gaps:
        return None
    if gaps["values"] is None:
        return Finding(False, f"{gaps['metric']} of challenger and anchor cannot be compared", {})
    decision, n = int(facts.get("decision", 1)), sum(gaps["counts"])
    rows = [row for row in facts.get("slices") or [] if row["anchor_gaps"]]
    alpha = betting.level(config.error / (4 if rows else 2), decision)
    doubts = [betting.doubt(gaps, margin) for margin in (config.drift, 0.0)]
    passed, better = doubts[0] <= alpha, doubts[1] <= betting.level(config.error / 2, decision)
    mean = sum(value * count for value, count in zip(gaps["values"], gaps["counts"], strict=True)) / n
    needed = betting.examples(gaps, config.drift, alpha)
    claim = "is" if passed else "is not shown to be"
    anchor = f"the anchor (version {facts['anchor']['version']})"
    reason = (
        f"{gaps['metric']} {claim} within {config.drift * gaps['size']:.4g} of {anchor}: difference "
        f"{mean * gaps['size']:+.4f} on {n:,} examples, p {doubts[0]:.2g}, "
        f"level {alpha:.2g} at decision {decision}"
    )
    if not passed and n < needed:
        reason += f"; an equal model would need {needed:,} examples"
    numbers = {"value": mean * gaps["size"], "drift": config.drift, "p": doubts[0], "level": alpha}
    numbers |= {"decision": decision, "examples": n, "examples_needed": needed, "better": better}
    later = alpha * decision * (decision + 1) / ((decision + RENEWAL) * (decision + RENEWAL + 1))
    numbers["renewal"] = max(betting.examples(gaps, config.drift, later) - n, 0)
    numbers["decisions_left"] = betting.left(gaps, config.drift, alpha, decision)
    if not rows:
        return Finding(passed, reason, numbers)
    found = [_slice(config, row, alpha / len(rows), 1 - 0.2 / len(rows)) for row in rows]
    reason += f"; within {config.slice_drift:g} of it by slice, {told(found)}"
    kept = not any(one.verdict in ("worse", "may be worse") for one in found)
    return Finding(passed and kept, reason, {**numbers, "slices": [one.numbers for one in found]})


def _slice(config: Config, row: Mapping[str, Any], alpha: float, power: float) -> Judged:
    gaps, drift = row["anchor_gaps"], config.slice_drift
    if gaps["values"] is None:
        return Judged(row, "cannot tell")
    needed, within = betting.examples(gaps, drift, alpha, power), betting.doubt(gaps, drift)
    worse = betting.doubt(betting.reversed_gaps(gaps), -drift)
    if within <= alpha:
        return Judged(row, "not worse", within, needed)
    if worse <= alpha:
        return Judged(row, "worse", worse, needed)
    asked = config.slice_test == "noninferiority" and row["examples"] >= needed
    return Judged(row, "may be worse" if asked else "cannot tell", within, needed)
