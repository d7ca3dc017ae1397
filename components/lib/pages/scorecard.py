"""The facts of an evaluation for the reader of a page: does pre-training pay, how good is the branch."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages import charts, page, pictures
from components.lib.pages.charts import Series
from components.lib.pages.heatmap import heat_map
from components.lib.pages.markup import Html
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


def errors(found: Sequence[Facts]) -> Html:
    """Wrong answers of which the branch was surest: a table of texts, or pictures."""
    if "picture" in found[0]:
        return pictures.grid(
            [
                (
                    base64.b64decode(error["picture"]),
                    f"{error['true']}, taken for {error['predicted']} ({error['confidence']:.2f})",
                )
                for error in found
            ]
        )
    headers = ["text", "true", "predicted", "confidence"]
    return page.table(headers, [[error[name] for name in headers] for error in found])


def answers(shown: Facts) -> Html:
    """What a task drew of its examples."""
    grid = pictures.grid([(base64.b64decode(data), caption) for data, caption in shown["items"]], strips=True)
    return page.stack(grid, page.paragraph(shown["note"], note=True))


def payoff_figures(facts: Facts) -> list[Figure]:
    """Tiles: the gain at the fewest labels, its mean over all, what it is worth in labels."""
    found = facts.get("efficiency")
    if not found:
        return []
    tone, first, fewest = payoff(facts)[0], found["gain"][0], found["labels"][0]
    within = f"{level(facts)} interval {span(first, differences=True)}"
    what = f"gain of pre-training with {fewest:,} labels"
    tiles = [Figure(what, f"{points(first['value'])} points", within, tone=tone, wide=True)]
    if found["area"]["value"] is not None:
        detail = f"{level(facts)} interval {span(found['area'], differences=True)}"
        tiles.append(Figure("mean gain over all numbers of labels", points(found["area"]["value"]), detail))
    worth = labels_saved(found)
    if worth:
        tiles.append(Figure("a random start needs", worth, f"labels for what the trunk does with {fewest:,}"))
    return tiles


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


def primary_figure(facts: Facts) -> Figure:
    """A tile with the branch's primary metric."""
    entry = facts["metrics"][facts["primary"]]
    return Figure(title(facts["primary"]), entry["value"], f"{level(facts)} interval {span(entry)}")


def metrics_table(facts: Facts) -> Html:
    """Every metric with its interval; with a champion, also its own and the paired difference."""
    rival = facts.get("champion_metrics")
    difference = facts.get("difference") or {}
    headers = ["metric", "this branch" if rival else "value", f"{level(facts)} interval"]
    if rival:
        champion = facts["champion"]
        headers += [
            f"champion (version {champion['version']})",
            "difference, points",
            f"{level(facts)} interval",
        ]
    rows = []
    for name, entry in sorted(facts["metrics"].items(), key=lambda item: item[0] != facts["primary"]):
        row: list[object] = [title(name), entry["value"], span(entry)]
        if rival:
            gap = difference.get(name, {})
            row += [rival.get(name, {}).get("value"), points(gap.get("value")), span(gap, differences=True)]
        rows.append(row)
    return page.table(headers, rows)


def efficiency_charts(facts: Facts) -> Html:
    """Both curves over the number of labels, and their paired difference."""
    found, metric = facts["efficiency"], title(facts["primary"])
    labels = found["labels"]
    starts = [_series("from the trunk", labels, found["trunk"])]
    starts.append(_series("from random weights", labels, found["random"], colour=1, dashed=True))
    gain = _series("gain", labels, found["gain"], scale=100)
    return page.columns(
        charts.efficiency(
            f"{metric[0].upper()}{metric[1:]} by number of labels", starts, "labelled examples", metric
        ),
        charts.efficiency("Gain of pre-training", [gain], "labelled examples", "points"),
    )


def efficiency_table(facts: Facts) -> Html:
    """The numbers behind the charts."""
    found = facts["efficiency"]
    rows = [
        [
            n,
            trunk["mean"],
            span(trunk),
            random["mean"],
            span(random),
            points(gain["value"]),
            span(gain, differences=True),
        ]
        for n, trunk, random, gain in zip(
            found["labels"], found["trunk"], found["random"], found["gain"], strict=True
        )
    ]
    headers = ["labels", "trunk", "interval", "random start", "interval", "gain, points", "interval"]
    return page.table(headers, rows)


def confusion(facts: Facts, worst: Sequence[Mapping[str, Any]] = ()) -> Html:
    """The heat map, and the pairs of classes that are confused most."""
    note = "Rows are true classes, columns predictions; numbers are per cent of the row."
    picture = heat_map("Confusion matrix", facts["confusion"], facts["classes"], note=note)
    rows = [[pair["true"], pair["predicted"], pair["count"], f"{pair['share']:.0%}"] for pair in worst]
    if not rows:
        return picture
    caption = "The most frequent confusions"
    headers = ["true", "predicted as", "examples", "of the class"]
    arrange = page.columns if len(facts["classes"]) <= 12 else page.stack
    return arrange(picture, page.table(headers, rows, caption=caption))


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
