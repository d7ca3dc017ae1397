"""The facts of an evaluation for the reader of a page: does pre-training pay, how good is the branch.

`scorecard.html.j2` arranges them, for the card of an evaluation and for the report of a run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages.charts import Series
from components.lib.pages.page import NOTHING, Figure, show

Facts = Mapping[str, Any]

MINUS = "\u2212"


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
    """A gain, positive where the trunk is better: +7.0 points of accuracy, perplexity better by 3.2."""
    value, metric = entry["value"], title(facts)
    if share(facts) and not lower(facts):
        return f"{points(value)} points of {metric}"
    if value is None:
        return f"{metric} unknown"
    amount = f"{abs(value) * 100:.1f} points" if share(facts) else show(abs(value))
    return f"{metric} {'better' if value >= 0 else 'worse'} by {amount}"


def level(facts: Facts) -> str:
    """The confidence of the intervals: 95 %."""
    return f"{facts.get('confidence', 0.95) * 100:g} %"


def payoff(facts: Facts) -> tuple[str, str, str]:
    """Whether pre-training pays on a task: a tone, one sentence, and what it rests on.

    It pays if the interval of the gain at the fewest labels, or that of the area, lies above 0.
    """
    found = facts.get("efficiency")
    if not found:
        return "", "There is no random start to compare with", "No seed was run from both starts."
    first, area, fewest = found["gain"][0], found["area"], found["labels"][0]
    seeds = len(found["seeds"])
    basis = (
        f"{level(facts)} interval {span(first, differences=True, share=share(facts))}{_unit(facts)} of "
        f"{title(facts)}{' (lower is better, gains are positive)' if lower(facts) else ''}: trunk against "
        f"random start with the same labels, steps and tuning, "
        f"{seeds} seed{'s' if seeds > 1 else ''}, {facts['examples']:,} test examples."
    )
    if seeds == 1:
        basis += " One seed alone: the interval leaves out how much runs differ."
    fewest_gained = f"{gained(facts, first)} with {fewest:,} labels"
    if _above(first):
        return "good", f"Pre-training pays: {fewest_gained}", basis
    if _above(area):
        mean = f"{gained(facts, area)} on average over all numbers of labels"
        doubt = f"With {fewest:,} labels alone the gain is not clear. {basis}"
        return "good", f"Pre-training pays: {mean}", doubt
    if _below(first) or _below(area):
        return "bad", f"Pre-training hurts: {fewest_gained}", basis
    return "warn", f"Pre-training shows no clear gain: {fewest_gained}", basis


def figures(facts: Facts) -> list[Figure]:
    """Tiles: the gain at the fewest labels, on average, and in labels saved; the primary metric."""
    tiles, found = [], facts.get("efficiency")
    if found:
        tone, first, fewest = payoff(facts)[0], found["gain"][0], found["labels"][0]
        what, amount = f"gain of pre-training with {fewest:,} labels", points(first["value"], share(facts))
        tiles = [Figure(what, f"{amount}{_unit(facts)}", _within(facts, first, True), tone=tone, wide=True)]
        area = found["area"]
        if area["value"] is not None:
            mean = points(area["value"], share(facts))
            tiles.append(Figure("mean gain over all numbers of labels", mean, _within(facts, area, True)))
        worth = labels_saved(found, lower(facts))
        if worth:
            detail = f"labels for what the trunk does with {fewest:,}"
            tiles.append(Figure("a random start needs", worth, detail))
    entry = facts["metrics"][facts["primary"]]
    return [*tiles, Figure(title(facts), entry["value"], _within(facts, entry, False))]


def labels_saved(found: Facts, lower: bool = False) -> str:
    """How many labels a random start needs to be as good as the trunk with the fewest, interpolated."""
    means = [entry["mean"] for entry in (found["trunk"][0], *found["random"])]
    if None in means:
        return ""
    target, *merits = (-mean if lower else mean for mean in means)
    curve = list(zip(map(math.log, found["labels"]), merits, strict=True))
    if len(curve) < 2 or curve[0][1] >= target:
        return ""
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if y1 >= target:
            needed = math.exp(x0 + (x1 - x0) * (target - y0) / (y1 - y0))
            return f"about {float(f'{needed:.2g}'):,.0f}"
    return f"over {found['labels'][-1]:,}"


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


def starts(facts: Facts) -> list[Series]:
    """The primary metric by number of labels, from the trunk and from random weights."""
    found = facts["efficiency"]
    trunk = _series("from the trunk", found["labels"], found["trunk"])
    return [trunk, _series("from random weights", found["labels"], found["random"], colour=1, dashed=True)]


def gain(facts: Facts) -> list[Series]:
    """Their paired difference, of shares in percentage points."""
    found, scale = facts["efficiency"], 100 if share(facts) else 1
    return [_series("gain", found["labels"], found["gain"], scale=scale)]


def efficiency(facts: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: the numbers behind both charts."""
    found, of_share = facts["efficiency"], share(facts)
    gains = "gain, points" if of_share else "gain"
    headers = ["labels", "trunk", "interval", "random start", "interval", gains, "interval"]
    rows: list[list[object]] = []
    for n, *means, gap in zip(found["labels"], found["trunk"], found["random"], found["gain"], strict=True):
        row: list[object] = [n]
        for entry in means:
            row += [entry["mean"], span(entry, share=of_share)]
        rows.append([*row, points(gap["value"], of_share), span(gap, differences=True, share=of_share)])
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


def _declared(facts: Facts, metric: str) -> Facts:
    found: Facts = facts.get("metric", {}).get(metric, {})
    return found


def _unit(facts: Facts) -> str:
    return " points" if share(facts) else ""


def _within(facts: Facts, entry: Facts, differences: bool) -> str:
    return f"{level(facts)} interval {span(entry, differences=differences, share=share(facts))}"


def _series(
    name: str,
    labels: Sequence[int],
    entries: Sequence[Facts],
    *,
    colour: int = 0,
    dashed: bool = False,
    scale: float = 1,
) -> Series:
    known = [(n, entry) for n, entry in zip(labels, entries, strict=True) if entry["value"] is not None]
    x = [n for n, _ in known]
    y, low, high = ([entry[part] * scale for _, entry in known] for part in ("value", "low", "high"))
    return Series(name, x, y, low, high, colour=colour, dashed=dashed)


def _above(entry: Facts) -> bool:
    return entry.get("low") is not None and entry["low"] > 0


def _below(entry: Facts) -> bool:
    return entry.get("high") is not None and entry["high"] < 0
