"""The facts of an evaluation for the reader of a page: does pre-training pay, how good is the branch.

`scorecard.html.j2` arranges them, for the card of an evaluation and for the report of a run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages.charts import Series
from components.lib.pages.page import NOTHING, Figure

Facts = Mapping[str, Any]

MINUS = "\u2212"
TITLES = {
    "macro_f1": "macro F1",
    "span_f1": "span F1",
    "calibration_error": "calibration error (ECE)",
    "mean_iou": "mean IoU",
    "average_precision_50": "average precision at an overlap of 0.5",
    "average_precision_75": "average precision at an overlap of 0.75",
}


def title(metric: str) -> str:
    """A metric's name in words."""
    return TITLES.get(metric, metric.replace("_", " "))


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    if value is None:
        return NOTHING
    return f"{'+' if value >= 0 else MINUS}{abs(value) * 100:.1f}"


def span(entry: Facts, *, differences: bool = False) -> str:
    """An interval in words: 0.641 to 0.682, or for differences +1.2 to +3.4."""
    if entry.get("low") is None or entry.get("high") is None:
        return str(entry.get("reason", ""))
    if differences:
        return f"{points(entry['low'])} to {points(entry['high'])}"
    return f"{entry['low']:.3f} to {entry['high']:.3f}"


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
    metric = title(facts["primary"])
    seeds = len(found["seeds"])
    basis = (
        f"{level(facts)} interval {span(first, differences=True)} points of {metric}: trunk against random "
        f"start with the same labels, steps and tuning, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{facts['examples']:,} test examples."
    )
    if seeds == 1:
        basis += " One seed alone: the interval leaves out how much runs differ."
    gained = f"{points(first['value'])} points of {metric} with {fewest:,} labels"
    if _above(first):
        return "good", f"Pre-training pays: {gained}", basis
    if _above(area):
        mean = f"{points(area['value'])} points of {metric} on average over all numbers of labels"
        doubt = f"With {fewest:,} labels alone the gain is not clear. {basis}"
        return "good", f"Pre-training pays: {mean}", doubt
    if _below(first) or _below(area):
        return "bad", f"Pre-training hurts: {gained}", basis
    return "warn", f"Pre-training shows no clear gain: {gained}", basis


def figures(facts: Facts) -> list[Figure]:
    """Tiles: the gain at the fewest labels, on average, and in labels saved; the primary metric."""
    tiles, found = [], facts.get("efficiency")
    if found:
        tone, first, fewest = payoff(facts)[0], found["gain"][0], found["labels"][0]
        within = f"{level(facts)} interval {span(first, differences=True)}"
        what = f"gain of pre-training with {fewest:,} labels"
        tiles = [Figure(what, f"{points(first['value'])} points", within, tone=tone, wide=True)]
        if found["area"]["value"] is not None:
            detail = f"{level(facts)} interval {span(found['area'], differences=True)}"
            mean = points(found["area"]["value"])
            tiles.append(Figure("mean gain over all numbers of labels", mean, detail))
        worth = labels_saved(found)
        if worth:
            detail = f"labels for what the trunk does with {fewest:,}"
            tiles.append(Figure("a random start needs", worth, detail))
    entry = facts["metrics"][facts["primary"]]
    within = f"{level(facts)} interval {span(entry)}"
    return [*tiles, Figure(title(facts["primary"]), entry["value"], within)]


def labels_saved(found: Facts) -> str:
    """How many labels a random start needs to be as good as the trunk with the fewest, interpolated."""
    target = found["trunk"][0]["mean"]
    curve = [(math.log(n), entry["mean"]) for n, entry in zip(found["labels"], found["random"], strict=True)]
    unknown = target is None or any(mean is None for _, mean in curve)
    if unknown or len(curve) < 2 or curve[0][1] >= target:
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
    if rival:
        headers += [f"champion (version {facts['champion']['version']})", "difference, points", within]
    rows = []
    for name, entry in sorted(facts["metrics"].items(), key=lambda item: item[0] != facts["primary"]):
        row: list[object] = [title(name), entry["value"], span(entry)]
        if rival:
            gap = (facts.get("difference") or {}).get(name, {})
            row += [rival.get(name, {}).get("value"), points(gap.get("value")), span(gap, differences=True)]
        rows.append(row)
    return headers, rows


def starts(facts: Facts) -> list[Series]:
    """The primary metric by number of labels, from the trunk and from random weights."""
    found = facts["efficiency"]
    trunk = _series("from the trunk", found["labels"], found["trunk"])
    return [trunk, _series("from random weights", found["labels"], found["random"], colour=1, dashed=True)]


def gain(facts: Facts) -> list[Series]:
    """Their paired difference in points."""
    return [_series("gain", facts["efficiency"]["labels"], facts["efficiency"]["gain"], scale=100)]


def efficiency(facts: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: the numbers behind both charts."""
    found = facts["efficiency"]
    headers = ["labels", "trunk", "interval", "random start", "interval", "gain, points", "interval"]
    columns = (found["labels"], found["trunk"], found["random"], found["gain"])
    return headers, [
        [n, a["mean"], span(a), b["mean"], span(b), points(gained["value"]), span(gained, differences=True)]
        for n, a, b, gained in zip(*columns, strict=True)
    ]


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
