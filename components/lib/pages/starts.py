"""The comparison of starts for the reader of a page, and as `verdict.json`: which start to use, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.lib.pages import page
from components.lib.pages.charts import Series
from components.lib.pages.page import NOTHING, Figure
from components.lib.pages.scorecard import Facts, level, lower, points, share, span, title

NAMES = {
    "trunk": "the trunk",
    "public": "the public weights",
    "linear": "a linear model",
    "random": "random weights",
}
ENDS = ("value", "low", "high")
RULE = (
    "The rule: of the best start and those whose difference from it is not shown, the smallest to serve, in "
    "megabytes; within a factor of two of that, one that needs no pre-training."
)
STOPPED = {"early": "early", "bound": "bound", "solved": "solved", "zero-shot": "not trained"}


def named(start: str) -> str:
    """A start in words."""
    return NAMES.get(start, f"the start {start}")


def labels(counts: Sequence[int]) -> str:
    """Neighbouring numbers of labels in words: no labels, 1 label, 100 and 200 labels, 100 to 500 labels."""
    if list(counts) in ([0], [1]):
        return "no labels" if counts[0] == 0 else "1 label"
    between = " to " if len(counts) > 2 else " and "
    return f"{between.join(f'{count:,}' for count in dict.fromkeys([counts[0], counts[-1]]))} labels"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def gain(facts: Facts, row: Facts, of: str, over: str) -> Facts:
    """How much better one start is than another, positive where it is, whichever direction is better.

    Args:
        row: of one number of labels, from the comparison.

    Returns:
        {"value", "low", "high", "detectable"}; {} if they were not compared.
    """
    for one in row["differences"]:
        if {one["of"], one["over"]} == {of, over}:
            found = {name: one.get(name) for name in (*ENDS, "detectable")}
            if (one["of"] == over) == lower(facts) or found["value"] is None:
                return found
            ends = (("value", "value"), ("low", "high"), ("high", "low"))
            return {
                **found,
                **{name: None if found[other] is None else -found[other] for name, other in ends},
            }
    return {}


def verdict(facts: Facts, measured: Facts) -> dict[str, Any]:
    """What `verdict.json` says of a task; a difference is value of `of` - value of `over`.

    Args:
        measured: of the evaluation: what a clock had a part in.
    """
    compared, rows = facts["comparison"], []
    for row in compared["labels"]:
        starts = {}
        for start, entry in row["starts"].items():
            clock, size = measured.get("costs", {}).get(start, {}), compared["sizes"].get(start, {})
            starts[start] = {name: entry[name] for name in ENDS} | {
                "cpu_seconds": _cpu_seconds(clock, row["count"]),
                "megabytes": size.get("megabytes"),
                "milliseconds": clock.get("milliseconds"),
            }
        differences = [{name: one[name] for name in ("of", "over", *ENDS)} for one in row["differences"]]
        rows.append({"count": row["count"], "starts": starts, "differences": differences})
    return {
        "name": facts["task"],
        "metric": facts["primary"],
        "better": "lower" if lower(facts) else "higher",
        "labels": rows,
        "recommended": {str(one["count"]): one["start"] for one in compared["choices"]},
        "sentence": compared["sentence"],
    }


def _cpu_seconds(clock: Facts, count: int) -> float | None:
    """What a start took at a number of labels: pre-training and fitting, as far as they were measured."""
    spent = [clock.get("pretraining_cpu_seconds"), clock.get("fit_cpu_seconds", {}).get(str(count))]
    known = [one for one in spent if one is not None]
    return round(sum(known), 3) if known else None


def answer(facts: Facts) -> tuple[str, str, str]:
    """Which start to use on a task: a tone, one sentence, and what it rests on."""
    compared, seeds = facts["comparison"], len(facts["comparison"]["seeds"])
    basis = (
        f"{level(facts)} intervals over {seeds} seed{'s' if seeds != 1 else ''} and {facts['examples']:,} "
        f"test examples, paired: all starts have the same labels and are scored on the same examples."
    )
    if seeds == 1:
        basis += " One seed alone: the intervals leave out how much runs differ."
    bound = [one["start"] for one in compared["stopped"] if one["by"].get("bound")]
    if bound:
        told = listed([named(start) for start in dict.fromkeys(bound)])
        basis += f" Runs that ended at the bound in steps may be under-trained: {told}."
    return compared["tone"], compared["sentence"], f"{basis} {RULE}"


def figures(facts: Facts) -> list[Figure]:
    """Tiles: the price of a label, the trunk over the best other start at both ends, the primary metric."""
    tiles, tone = [], facts["comparison"]["tone"]
    rows = [row for row in facts["comparison"]["labels"] if rival(facts, row)]
    for place, row in enumerate(rows[:1] + rows[1:][-1:]):
        other, words = rival(facts, row), labels([row["count"]])
        found = gain(facts, row, "trunk", other)
        for one in prices(facts, other, row["count"]) if not place else ():
            what = f"{words} with the trunk are worth, with {named(other)}"
            detail = f"{level(facts)} interval {within(one)}"
            tiles.append(Figure(what, f"{number(one)} labels", detail, tone, wide=True))
        what, unit = f"the trunk over {named(other)}, {words}", "points, " if share(facts) else ""
        detail = f"{unit}{_within(facts, found, True)}"
        tiles.append(Figure(what, points(found["value"], share(facts)), detail))
    entry = facts["metrics"][facts["primary"]]
    return [*tiles, Figure(f"{title(facts)} of the branch", entry["value"], _within(facts, entry, False))]


def rival(facts: Facts, row: Facts) -> str:
    """The best start at a number of labels that is not the trunk; empty if none was compared with it."""
    known = {
        start: entry["value"]
        for start, entry in row["starts"].items()
        if gain(facts, row, "trunk", start).get("value") is not None
    }
    return max(known, key=lambda start: known[start] * (-1 if lower(facts) else 1), default="")


def prices(facts: Facts, over: str, count: int, of: str = "trunk") -> list[Facts]:
    """What labels with one start are worth in labels with another; empty if it is not known."""
    return [
        one
        for one in facts["comparison"]["prices"]
        if (one["of"], one["over"], one["count"]) == (of, over, count)
    ]


def number(price: Facts, end: str = "value") -> str:
    """A number of labels: about 560, or > 1,000 and < 100 beyond those that were measured."""
    beyond = price["beyond"].get(end)
    return f"{beyond} {price[end]:,.0f}" if beyond else f"{float(f'{price[end]:.2g}'):,.0f}"


def within(price: Facts) -> str:
    """The interval of a price: 400 to > 1,000."""
    return " to ".join(dict.fromkeys(number(price, end) for end in ("low", "high")))


def curves(facts: Facts) -> list[Series]:
    """The primary metric by number of labels, a line a start."""
    rows, starts = facts["comparison"]["labels"], facts["comparison"]["starts"]
    return [
        _series(start, [(row["count"], row["starts"].get(start, {})) for row in rows], colour)
        for colour, start in enumerate(starts)
    ]


def gaps(facts: Facts) -> list[Series]:
    """The paired differences of the trunk from each other start, of shares in percentage points."""
    rows, scale = facts["comparison"]["labels"], 100 if share(facts) else 1
    return [
        _series(other, [(row["count"], gain(facts, row, "trunk", other)) for row in rows], colour, scale)
        for colour, other in enumerate(facts["comparison"]["starts"])
        if other != "trunk"
    ]


def means(facts: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: the mean of each start at each number of labels, its interval, how its runs ended."""
    compared, rows = facts["comparison"], []
    ended = {(one["start"], one["labels"]): one for one in compared["stopped"]}
    chosen = {one["count"]: one for one in compared["choices"]}
    for row in compared["labels"]:
        cells: list[object] = [row["count"]]
        for start in compared["starts"]:
            entry = row["starts"].get(start)
            lines = [page.show(entry["value"]), span(entry, share=share(facts))] if entry else [NOTHING]
            if run := ended.get((start, row["count"])):
                by = ", ".join(f"{STOPPED.get(how, how)} {count}" for how, count in run["by"].items())
                lines.append(f"{by}; {run['steps']:,} steps" if run["steps"] else by)
            if chosen[row["count"]]["start"] == start and chosen[row["count"]]["why"] in ("shown", "tied"):
                lines[0] = page.part("badge", lines[0], "good")
            cells.append(page.part("stacked", lines, True))
        rows.append(cells)
    return ["labels", *map(named, compared["starts"])], rows


def differences(facts: Facts, of_trunk: bool = True) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: the pairs of starts with the trunk, or the others, and what a label is worth."""
    rows: list[list[object]] = []
    of_share = share(facts)
    for row in facts["comparison"]["labels"]:
        for one in (one for one in row["differences"] if (one["of"] == "trunk") == of_trunk):
            found = gain(facts, row, one["of"], one["over"])
            words = f"{named(one['of'])} over {named(one['over'])}"
            worth = [
                f"{number(p)} ({within(p)})" for p in prices(facts, one["over"], row["count"], one["of"])
            ]
            least = points(found["detectable"], of_share)[1:] or NOTHING
            ends = [points(found["value"], of_share), span(found, differences=True, share=of_share)]
            rows.append([row["count"], words, *ends, _shown(found), least, *(worth or [NOTHING])])
    unit = ", points" if of_share else ""
    headers = ["labels", "comparison", f"difference{unit}", "interval", "", f"detectable{unit}", "worth"]
    return headers, rows


def spent(facts: Facts, measured: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: what each start costs to make and to serve; empty where it was not measured."""
    compared, rows = facts["comparison"], []
    counts = [str(row["count"]) for row in compared["labels"]]
    for start in compared["starts"]:
        clock, size = measured.get("costs", {}).get(start, {}), compared["sizes"].get(start, {})
        if clock or size:
            fits = [clock.get("fit_cpu_seconds", {}).get(count) for count in (counts[0], counts[-1])]
            fit = " to ".join(dict.fromkeys(page.show(one) for one in fits))
            sizes = [size.get("parameters"), size.get("megabytes"), clock.get("milliseconds")]
            rows.append(
                [named(start), clock.get("pretraining_cpu_seconds"), fit, *sizes, size.get("note", "")]
            )
    headers = ["start", "CPU-s pre-training", "CPU-s a fit", "parameters", "MB", "ms a record", "what it is"]
    return headers, rows


def card(facts: Facts, measured: Facts) -> tuple[list[str], list[list[object]]]:
    """Headers and rows for a model card: the mean of each start with its interval and cost, by labels."""
    headers = ["labels", "start", title(facts), "interval", "CPU-seconds", "MB", "ms a record"]
    rows: list[list[object]] = []
    for row in verdict(facts, measured)["labels"] if facts.get("comparison") else []:
        for start, one in row["starts"].items():
            cost = [page.show(one[name]) for name in ("cpu_seconds", "megabytes", "milliseconds")]
            ends = span(one, share=share(facts))
            rows.append([row["count"], named(start), page.show(one["value"]), ends, *cost])
    return headers, rows


def _shown(entry: Facts) -> str:
    """What a difference shows: better, worse, or nothing."""
    if entry["low"] is None or entry["high"] is None or entry["low"] <= 0 <= entry["high"]:
        return "not shown"
    return page.part("badge", *(("better", "good") if entry["low"] > 0 else ("worse", "bad")))


def _within(facts: Facts, entry: Facts, differences: bool) -> str:
    return f"{level(facts)} interval {span(entry, differences=differences, share=share(facts))}"


def _series(start: str, at: Sequence[tuple[int, Facts]], colour: int, scale: float = 1) -> Series:
    known = [(n, one) for n, one in at if n > 0 and None not in [one.get(end) for end in ENDS]]
    y, low, high = ([one[end] * scale for _, one in known] for end in ENDS)
    name = named(start).removeprefix("the ").removeprefix("a ")
    return Series(name, [n for n, _ in known], y, low, high, colour=colour)
