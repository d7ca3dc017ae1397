"""The metrics of an evaluation for the reader of a page; `starts.py` has the comparison of starts.

`scorecard.html.j2` arranges them, for the card of an evaluation and for the report of a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages.page import NOTHING, show

Facts = Mapping[str, Any]

MINUS = "\u2212"
SHADES = 4  # of words that speak for an answer, or against it
PIECES = 400  # of a text that are shown


def title(facts: Facts, metric: str = "") -> str:
    """The name of a metric, or of the primary one, in words."""
    name = metric or facts["primary"]
    return str(_declared(facts, name).get("title") or name.replace("_", " "))


def described(facts: Facts, metric: str = "") -> str:
    """The name of a metric in words, and its direction where that is not the usual one."""
    return f"{title(facts, metric)}{' (lower is better)' if lower(facts, metric) else ''}"


def lower(facts: Facts, metric: str = "") -> bool:
    """Whether lower is better."""
    return _declared(facts, metric or facts["primary"]).get("better") == "lower"


def share(facts: Facts, metric: str = "") -> bool:
    """Whether a metric, or the primary one, is a share: differences are then in percentage points."""
    name = metric or facts["primary"]
    declared = _declared(facts, name) or _declared(facts, facts["primary"])  # as of one class
    return declared.get("low", 0.0) == 0.0 and declared.get("high", 1.0) == 1.0


def points(value: float | None, share: bool = True) -> str:
    """A difference with its sign: of shares in percentage points."""
    if value is None:
        return NOTHING
    return f"{'+' if value >= 0 else MINUS}{f'{abs(value) * 100:.1f}' if share else show(abs(value))}"


def span(entry: Facts, *, differences: bool = False, share: bool = True) -> str:
    """An interval in words: 0.641 to 0.682, or for differences +1.2 to +3.4."""
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        return str(entry.get("reason", ""))
    if differences:
        return f"{points(low, share)} to {points(high, share)}"
    return f"{low:.3f} to {high:.3f}" if share else f"{show(low)} to {show(high)}"


def gained(facts: Facts, entry: Facts) -> str:
    """A gain, positive where it is better: +7.0 points of accuracy, perplexity better by 3.2."""
    value, metric = entry["value"], title(facts)
    if share(facts) and not lower(facts):
        return f"{points(value)} points of {metric}"
    if value is None:
        return f"{metric} unknown"
    amount = f"{abs(value) * 100:.1f} points" if share(facts) else show(abs(value))
    return f"{metric} {'better' if value >= 0 else 'worse'} by {amount}"


def amount(facts: Facts, value: float) -> str:
    """A size of differences without a sign: 3.2 points of accuracy, RMSE 0.25."""
    return f"{value * 100:.1f} points of {title(facts)}" if share(facts) else f"{title(facts)} {show(value)}"


def level(facts: Facts) -> str:
    """The confidence of the intervals: 95 %."""
    return f"{facts.get('confidence', 0.95) * 100:g} %"


def metrics(facts: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: each metric with its interval; with a champion, its own and the paired difference."""
    rival, within = facts.get("champion_metrics"), f"{level(facts)} interval"
    headers = ["metric", "this branch" if rival else "value", within]
    shares = all(share(facts, name) for name in facts["metrics"])
    if rival:
        headers += [
            f"champion (version {facts['champion']['version']})",
            "difference, points" if shares else "difference",
            within,
        ]
    rows = []
    for name, entry in sorted(facts["metrics"].items(), key=lambda item: item[0] != facts["primary"]):
        of_share = share(facts, name)
        row: list[object] = [described(facts, name), entry["value"], span(entry, share=of_share)]
        if rival:
            gap = (facts.get("difference") or {}).get(name, {})
            unit = " points" if of_share and not shares else ""
            row += [rival.get(name, {}).get("value"), f"{points(gap.get('value'), of_share)}{unit}"]
            row.append(span(gap, differences=True, share=of_share))
        rows.append(row)
    return headers, rows


def slices(facts: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: the primary metric of each slice, and with a champion the paired difference."""
    within, rival, of_share = f"{level(facts)} interval", facts.get("champion"), share(facts)
    headers = ["slice", "value", "examples", described(facts), within]
    headers += ["difference from the champion", within] if rival else []
    rows: list[list[object]] = []
    for one in facts["slices"]:
        entry = one["metrics"][facts["primary"]]
        row = [one["field"], one["value"], one["examples"], entry["value"], span(entry, share=of_share)]
        if rival:
            gap = (one["difference"] or {}).get(facts["primary"], {})
            row += [points(gap.get("value"), of_share), span(gap, differences=True, share=of_share)]
        rows.append(row)
    return headers, rows


def confused(worst: Sequence[Facts]) -> list[list[object]]:
    """Rows: which classes are taken for which, how often."""
    return [[pair["true"], pair["predicted"], pair["count"], f"{pair['share']:.0%}"] for pair in worst]


def texts(errors: Sequence[Facts]) -> list[list[object]]:
    """Rows: texts that were answered wrong."""
    return [[error[name] for name in ("text", "true", "predicted", "confidence")] for error in errors]


def captioned(errors: Sequence[Facts]) -> list[tuple[str, str]]:
    """Pictures that were answered wrong, with what they are and what they were taken for."""
    words = "{true}, taken for {predicted} ({confidence:.2f})"
    return [(error["picture"], words.format_map(error)) for error in errors]


def why(items: Sequence[Facts]) -> list[tuple[Any, Any]]:
    """Answers that are explained: pictures with captions, or headings with shaded pieces of text."""
    found: list[tuple[Any, Any]] = []
    for one in items:
        verdict = "right" if one["true"] == one["predicted"] else f"wrong, it is {one['true']}"
        heading = f"{one['predicted']} ({one['confidence']:.2f}): {verdict}"
        heading += "" if one["complete"] else f"; does not add up, {one['missing']:.0%} are missing"
        found.append(
            (one["picture"], heading) if "picture" in one else (heading, shades(one["pieces"][:PIECES]))
        )
    return found


def shades(pieces: Sequence[Sequence[Any]]) -> list[tuple[str, str]]:
    """Pieces of text with their classes of style: for1 to for4, against1 to against4, or none."""
    most = max((abs(score) for _, score in pieces), default=0.0) or 1.0
    found = []
    for text, score in pieces:
        shade = round(SHADES * abs(score) / most)
        found.append((text, f"{'for' if score > 0 else 'against'}{shade}" if shade else ""))
    return found


def _declared(facts: Facts, metric: str) -> Facts:
    found: Facts = facts.get("metric", {}).get(metric, {})
    return found
