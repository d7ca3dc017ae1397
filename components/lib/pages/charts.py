"""Charts as inline SVG: line chart, learning curves, histogram, bar chart, confusion matrix.

Their colours come from the page's style sheet, so they follow light and dark; the same numbers give the same
bytes; exact values show when the mouse rests on a mark. Positions are computed here, `charts.html.j2` draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from components.lib.pages.page import instead, macro, part, problem, seconds

WIDTH, HEIGHT, FULL = 500, 270, 980  # pixels: half a page wide, and a whole one
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 44
LONGEST, LETTER = 26, 6.1  # characters of a label, and the pixels of one
CELL, READABLE = 40.0, 22.0  # pixels of a confusion matrix's cells: at most, and to hold a number
NAMED = 11.0  # pixels of a cell that has a name beside it; of smaller ones, some have
POINTS = 300  # more than this in one line cannot be told apart: neighbours are averaged
GREY = 6
LINE = 14  # pixels between two names
MARKS = (  # of each colour, around the origin
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
    "M-4 -4h8v8h-8z",
    "M0 -5L5 4H-5z",
    "M0 -5.5L5.5 0L0 5.5L-5.5 0z",
    "M0 5L5 -4H-5z",
    "M-5 -2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
)

chart = instead(lambda caption, error: part("captioned", caption, problem(error)))


@dataclass(frozen=True)
class Series:
    """One line: `y` over `x`, with an interval `low`..`high` at each point if these are given.

    Attributes:
        colour: 0 to 5, or GREY.
        dashed: for the line that another one is compared with.
        joined: whether a line goes through its points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int = 0
    dashed: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Scale:
    """Maps data from [low, high] to pixels from `start` to `end`.

    Attributes:
        ticks: where the axis is labelled.
        log: distances are ratios; low must then be above 0.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...] = ()
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        place = (math.log(value) if self.log else value) - low
        return self.start + (self.end - self.start) * (place / (high - low) if high > low else 0.5)

    @property
    def marks(self) -> list[tuple[float, str]]:
        """The places of the ticks in pixels, and their labels."""
        return [(self(tick), label(tick)) for tick in self.ticks]


@chart
def lines(caption: str, series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Curves over steps, for example losses; points are marked where they have intervals."""
    shown = [one for one in (each if each.low else _thinned(each) for each in series) if one.x]
    if not shown:
        return _nothing(caption)
    x = exact([v for one in shown for v in one.x], LEFT, WIDTH - RIGHT)
    y = linear([v for one in shown for v in (*one.y, *one.low, *one.high)], HEIGHT - BOTTOM, TOP)
    curves = [_curve(one, x, y, marked=len(one.x) == 1 or bool(one.low)) for one in shown]
    return _draw("curves", caption, x, y, x_label, y_label, shown, curves)


@chart
def learning_curves(caption: str, series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Marked points with whiskers of their intervals over a logarithmic x, each line named at its end.

    Lines differ in colour, mark and dashes, so that they are told apart in grey. A line at y = 0 is drawn if
    the intervals reach below it, as those of differences may.
    """
    shown = [one for one in series if one.x]
    if not shown:
        return _nothing(caption)
    room = 16 + 1.35 * LETTER * min(max(len(one.name) for one in shown), LONGEST)  # in bold
    x = ratio([v for one in shown for v in one.x], LEFT, WIDTH - room)
    y = linear([v for one in shown for v in (*one.y, *one.low, *one.high)], HEIGHT - BOTTOM, TOP)
    curves = [
        _curve(one, x, y, marked=True, shift=(i - (len(shown) - 1) / 2) * 5) for i, one in enumerate(shown)
    ]
    ends = apart([y(one.y[-1]) for one in shown], TOP, HEIGHT - BOTTOM)
    names = [(one.name, WIDTH - room + 8, end + 4, one.colour) for one, end in zip(shown, ends, strict=True)]
    return _draw("curves", caption, x, y, x_label, y_label, (), curves, names)


@chart
def histogram(caption: str, edges: Sequence[float], counts: Sequence[float], x_label: str) -> Markup:
    """Counts between neighbouring edges (`len(edges) == len(counts) + 1`), drawn evenly spaced."""
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, not {len(edges)}")
    if not counts:
        return _nothing(caption)
    x = Scale(0, len(counts), LEFT, WIDTH - RIGHT)
    y = linear([0.0, 1.0, *counts], HEIGHT - BOTTOM, TOP)
    bins = [
        (f"{label(edges[i])} to {label(edges[i + 1])}: {count:,}", x(i) + 0.5, y(count))
        for i, count in enumerate(counts)
    ]
    names = [(label(edges[i]), x(i)) for i in range(0, len(edges), -(-len(edges) // 9))]
    return _draw("histogram", caption, x, y, x_label, bins, max(x(1) - x(0) - 1, 0.5), names)


@chart
def bars(caption: str, values: Sequence[tuple[str, float, int]], legend: Mapping[str, int]) -> Markup:
    """Horizontal bars of durations.

    Args:
        caption: the heading.
        values: name, seconds and colour number of each bar.
        legend: what the colours mean.
    """
    if not values:
        return _nothing(caption)
    width = Scale(0, max(value for _, value, _ in values) or 1.0, 0, FULL - 300)
    rows = [(name, max(width(value), 1.5), seconds(value), colour) for name, value, colour in values]
    keys = [Series(name, (), (), colour=colour) for name, colour in legend.items()]
    return _draw("bars", caption, rows, keys, FULL)


@chart
def heat_map(caption: str, counts: Sequence[Sequence[float]], names: Sequence[str], note: str = "") -> Markup:
    """A confusion matrix: rows are true classes, columns predictions, shades and numbers per cent of the row.

    Of many classes some are named, at even distances, and cells without an example are left out.

    Raises:
        ValueError: if `counts` is not a square of the size of `names`.
    """
    size = len(names)
    if not size or len(counts) != size or any(len(row) != size for row in counts):
        raise ValueError(f"{size} classes need a {size} x {size} matrix")
    room = 16 + LETTER * min(max(map(len, names)), LONGEST)
    width = WIDTH if (WIDTH - room - RIGHT) / size >= READABLE else FULL
    cell = min((width - room - RIGHT) / size, CELL)
    apart = math.ceil(NAMED / cell)
    shown = [name if place % apart == 0 else "" for place, name in enumerate(names)]
    rows = []
    for name, beside, row in zip(names, shown, counts, strict=True):
        total = sum(row)
        shares = [count / total if total else 0.0 for count in row]
        hints = [
            f"true {name}, predicted {other}: {count:g} of {total:g} ({share:.0%})"
            for other, count, share in zip(names, row, shares, strict=True)
        ]
        filled = [share > 0 or apart == 1 for share in shares]
        rows.append((beside, [*zip(shares, hints, filled, strict=True)]))
    return _draw("heat_map", caption, note, rows, shown, room, width, cell, cell >= READABLE)


def linear(values: Sequence[float], start: float, end: float, count: int = 5) -> Scale:
    """A scale over round numbers that hold all `values`, with about `count` ticks."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # else the ticks could not be told apart
        spread = abs(low) * 0.1 or 1.0
        low, high = low - spread, high + spread
    step = _round_step((high - low) / count)
    ticks = _multiples(step, math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9))
    return Scale(ticks[0], ticks[-1], start, end, ticks)


def exact(values: Sequence[float], start: float, end: float, count: int = 6) -> Scale:
    """A scale that ends where the values end, with round ticks inside: for steps along x."""
    low, high = min(values), max(values)
    step = _round_step((high - low) / count) if high > low else 1.0
    ticks = _multiples(step, math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9))
    return Scale(low, high, start, end, ticks)


def ratio(values: Sequence[float], start: float, end: float) -> Scale:
    """A logarithmic scale that is labelled at the values themselves, with room at both ends."""
    low, high = min(values), max(values)
    room = (high / low) ** 0.06 if high > low else 2.0
    return Scale(low / room, high * room, start, end, tuple(sorted(set(values))), log=True)


def label(value: float) -> str:
    """A short tick label: 0.25, 12, 1,500, 20k, 3M, 1e-5."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    if size and size < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _draw(name: str, *arguments: object) -> Markup:
    return macro("lib/pages/charts.html.j2", name, *arguments)


def _nothing(caption: str) -> Markup:
    return part("captioned", caption, "There are no values to draw.")


def _curve(one: Series, x: Scale, y: Scale, *, marked: bool, shift: float = 0.0) -> dict[str, object]:
    """The parts of one line in pixels."""
    at = [x(value) + shift for value in one.x]
    middle, low, high = ([y(v) for v in values] for values in (one.y, one.low, one.high))
    ends = [f" [{a:.3f}, {b:.3f}]" for a, b in zip(one.low, one.high, strict=True)] or [""] * len(at)
    hints = [f"{one.name}, {label(a)}: {b:.3f}{end}" for a, b, end in zip(one.x, one.y, ends, strict=True)]
    return {
        "colour": one.colour,
        "dashed": one.dashed,
        "dashes": one.colour if marked else 0,
        "mark": MARKS[one.colour % len(MARKS)],
        "line": _path(at, middle) if one.joined else "",
        "whiskers": [*zip(at, low, high, strict=True)] if low else [],
        "marks": [*zip(at, middle, hints, strict=True)] if marked else [],
    }


def apart(places: Sequence[float], top: float, bottom: float) -> list[float]:
    """The places of names beside lines, moved so far that they do not overlap and stay inside."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved, limit = [*places], bottom
    for i in reversed(order):  # from the lowest up: none below its limit
        moved[i] = limit = min(moved[i], limit)
        limit -= LINE
    limit = top
    for i in order:
        moved[i] = limit = max(moved[i], limit)
        limit += LINE
    return moved


def _path(x: Sequence[float], y: Sequence[float]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _thinned(one: Series) -> Series:
    """Without values that are not finite, as the loss of a skipped step, and with at most POINTS means."""
    known = [(a, b) for a, b in zip(one.x, one.y, strict=True) if math.isfinite(b)]
    size = -(-len(known) // POINTS) or 1
    groups = [known[i : i + size] for i in range(0, len(known), size)]
    means = [sum(b for _, b in group) / len(group) for group in groups]
    return replace(one, x=[group[-1][0] for group in groups], y=means)


def _multiples(step: float, first: int, last: int) -> tuple[float, ...]:
    """0.3, not 0.30000000000000004."""
    return tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
