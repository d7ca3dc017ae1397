"""Recommendation: which start to use at which number of labels, by a stated rule, in one sentence.

The rule, at each number of labels: of the start with the best mean and those whose paired difference from it
is not shown (its interval holds 0), the smallest to serve, in megabytes; within a factor of two of that, one
that needs no pre-training of ours; random weights, which nobody would choose, only if they are alone. Where
sizes are not known, the start with the best mean. No clock has a part in it: equal runs recommend the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from components.lib.pages import scorecard
from components.lib.pages.scorecard import Facts
from components.lib.pages.starts import gain, labels, listed, named

NEAR = 2.0  # times the smallest


def recommend(facts: Facts) -> dict[str, Any]:
    """{"choices", "sentence", "tone"} of an evaluation's facts.

    A choice is {"count", "start", "why", "against", "by_cost"}: `why` is "shown" (better than every other),
    "tied" (with some others), "open" (with all others), "random" (better than random weights, with nothing
    else to compare), "alone", or "undefined" (no start has a value).
    """
    compared = facts["comparison"]
    choices = [_choice(facts, row, compared["sizes"]) for row in compared["labels"]]
    groups = [[*group] for _, group in itertools.groupby(choices, key=_group)]
    said = "; ".join(_clause(facts, group) for group in groups)
    sentence = f"{said[:1].upper()}{said[1:]}."
    if "linear" not in compared["starts"]:
        reason = compared["left_out"].get("linear", "")
        sentence += f" No linear model was compared{f': {reason}' if reason else ''}."
    return {"choices": choices, "sentence": sentence, "tone": _tone(choices)}


def _choice(facts: Facts, row: Facts, sizes: Mapping[str, Facts]) -> Facts:
    values = {start: entry["value"] for start, entry in row["starts"].items() if entry["value"] is not None}
    sign = -1.0 if scorecard.lower(facts) else 1.0
    ranked = sorted(values, key=lambda start: -sign * values[start])
    if not ranked:
        return {"count": row["count"], "start": None, "why": "undefined", "against": [], "by_cost": False}
    best = ranked[0]
    near = [best, *(one for one in ranked[1:] if not _above(gain(facts, row, best, one)))]
    cheapest = _cheapest(near, sizes)
    chosen = cheapest or best
    why = "alone" if len(ranked) == 1 else "shown" if len(near) == 1 else "tied"
    if why == "tied" and len(near) == len(ranked):
        why = "open"
    if why == "shown" and ranked == ["trunk", "random"]:
        why = "random"
    against = [one for one in near if one != chosen]
    if why in ("shown", "random"):
        against = ["trunk"] if chosen != "trunk" and "trunk" in ranked else ranked[1:2]
    by_cost = len(near) > 1 and cheapest is not None
    return {"count": row["count"], "start": chosen, "why": why, "against": against, "by_cost": by_cost}


def _cheapest(starts: list[str], sizes: Mapping[str, Facts]) -> str | None:
    """By the rule; None if a size is not known."""
    known = {start: sizes[start]["megabytes"] for start in starts if sizes.get(start, {}).get("megabytes")}
    if len(known) < len(starts):
        return None
    known = {start: size for start, size in known.items() if start != "random"} or known
    near = [start for start in known if known[start] <= NEAR * min(known.values())]
    return min(near, key=lambda start: (start == "trunk", known[start], starts.index(start)))


def _above(entry: Facts) -> bool:
    return entry.get("low") is not None and entry["low"] > 0


def _group(choice: Facts) -> tuple[str, str]:
    """What neighbouring numbers of labels must have in common to be told together."""
    return choice["start"], "tied" if choice["why"] == "shown" else choice["why"]


def _clause(facts: Facts, group: list[Facts]) -> str:
    """What is said of neighbouring numbers of labels with the same choice."""
    start, why = group[0]["start"], group[0]["why"]
    words, name = _words(group), named(start or "")
    if why == "undefined":
        return f"cannot tell which start is best with {words}: {scorecard.title(facts)} is not defined there"
    if why == "alone":
        return f"cannot tell whether {name} pays with {words}: there is no other start to compare it with"
    if why == "random":
        found = _shown(facts, group[0], alone=len(group) == 1)
        return f"cannot tell whether {name} pays with {words}: it was compared with nothing else ({found})"
    if why == "open":
        return _open(facts, group, words)
    shown, tied = ([one for one in group if one["why"] == of] for of in ("shown", "tied"))
    reasons = [_shown(facts, shown[0], alone=len(group) == 1)] if shown else []
    if tied:
        others = listed(
            [named(one) for one in dict.fromkeys(start for one in tied for start in one["against"])]
        )
        at = f"with {_words(tied)} " if shown else ""
        least = ", and it is the cheapest" if any(one["by_cost"] for one in tied) else ""
        reasons.append(f"{at}no difference from {others} is shown{least}")
    if shown == group and start == "linear":
        return f"a linear model is better here: use it with {words} ({reasons[0]})"
    return f"use {name} with {words} ({'; '.join(reasons)})"


def _words(choices: list[Facts]) -> str:
    return labels([one["count"] for one in choices])


def _shown(facts: Facts, choice: Facts, *, alone: bool) -> str:
    """By how much the chosen start is better than the trunk; the trunk: than the next best."""
    row = next(one for one in facts["comparison"]["labels"] if one["count"] == choice["count"])
    (other,) = choice["against"]
    found = gain(facts, row, choice["start"], other)
    next_best = ", the next best" if other != "trunk" and len(row["starts"]) > 2 else ""
    ends = scorecard.span(found, differences=True, share=scorecard.share(facts))
    at = "" if alone else f" with {choice['count']:,}"
    return f"{scorecard.gained(facts, found)} [{ends}] over {named(other)}{next_best}{at}"


def _open(facts: Facts, group: list[Facts], words: str) -> str:
    rows = [row for row in facts["comparison"]["labels"] if row["count"] in [one["count"] for one in group]]
    found = [d["detectable"] for row in rows for d in row["differences"] if d["detectable"] is not None]
    seeds, examples = len(facts["comparison"]["seeds"]), facts["examples"]
    size = f"{examples:,} test example{'s' * (examples != 1)} and {seeds} seed{'s' * (seeds != 1)}"
    least = f" below {scorecard.amount(facts, max(found))}" if found else ""
    by_cost = f"; until then use {named(group[0]['start'])}, the cheapest" if group[0]["by_cost"] else ""
    return f"cannot tell which start is best with {words}: {size} show no difference{least}{by_cost}"


def _tone(choices: list[Facts]) -> str:
    """Good where the trunk is shown to be the best everywhere, bad where it is nowhere to be used."""
    if any(one["why"] not in ("shown", "tied") for one in choices):
        return "warn"
    if all((one["start"], one["why"]) == ("trunk", "shown") for one in choices):
        return "good"
    return "" if any(one["start"] == "trunk" for one in choices) else "bad"
