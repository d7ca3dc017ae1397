"""Charts as inline SVG in a captioned figure, drawn without a plotting library.

They take their colours from the page's style sheet, so they follow light and dark, cost no import of a
second, and the same numbers give the same bytes. Exact values show when the mouse rests on a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from components.lib.pages import chart_frame
from components.lib.pages.chart_frame import (
    BOTTOM,
    FULL,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    drawing,
    text,
)
from components.lib.pages.markup import Html, concat, element
from components.lib.pages.page import seconds, show

COLOURS, GREY = 7, 6
POINTS = 300  # more than this in one line cannot be told apart: neighbours are averaged


@dataclass(frozen=True)
class Series:
    """One line: `y` over `x`, with an interval `low`..`high` at each point if these are given.

    Attributes:
        colour: 0 to 5, or GREY; lines that belong together share one.
        dashed: for the line that another one is compared with.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int = 0
    dashed: bool = False

    @property
    def css(self) -> str:
        """Classes of the style sheet for its line."""
        return f"s{self.colour % COLOURS} curve{' dashed' if self.dashed else ''}"


def lines(caption: str, series: Sequence[Series], x_label: str, y_label: str, *, note: str = "") -> Html:
    """Curves over steps, for example losses."""
    shown = [_thinned(one) for one in series if one.x]
    if not shown:
        return chart_frame.empty(caption)
    x = chart_frame.exact([v for one in shown for v in one.x], LEFT, WIDTH - RIGHT)
    y = chart_frame.linear([v for one in shown for v in one.y], HEIGHT - BOTTOM, TOP)
    curves = [_curve(one, x, y) for one in shown]
    return drawing(
        caption, chart_frame.frame(x, y, x_label, y_label), *curves, legend=_legend(shown), note=note
    )


def efficiency(caption: str, series: Sequence[Series], x_label: str, y_label: str, *, note: str = "") -> Html:
    """Points with bands and whiskers of their intervals over a logarithmic x.

    A line at y = 0 is drawn if the intervals reach below it, as those of differences may.
    """
    shown = [one for one in series if one.x]
    if not shown:
        return chart_frame.empty(caption)
    x = chart_frame.ratio([v for one in shown for v in one.x], LEFT, WIDTH - RIGHT)
    y = chart_frame.linear([v for one in shown for v in (*one.y, *one.low, *one.high)], HEIGHT - BOTTOM, TOP)
    shifts = [(i - (len(shown) - 1) / 2) * 5 for i in range(len(shown))]
    marks = [_banded(one, x, y, shift) for one, shift in zip(shown, shifts, strict=True)]
    zero = element("line", class_="axis", x1=x.start, x2=x.end, y1=y(0), y2=y(0)) if y.low <= 0 else None
    legend = _legend(shown) if len(shown) > 1 else None
    return drawing(caption, chart_frame.frame(x, y, x_label, y_label), zero, *marks, legend=legend, note=note)


def histogram(
    caption: str, edges: Sequence[float], counts: Sequence[float], x_label: str, *, note: str = ""
) -> Html:
    """Counts between neighbouring edges (`len(edges) == len(counts) + 1`), drawn evenly spaced."""
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, not {len(edges)}")
    if not counts:
        return chart_frame.empty(caption)
    y = chart_frame.linear([0.0, 1.0, *counts], HEIGHT - BOTTOM, TOP)
    x = Scale(0, len(counts), LEFT, WIDTH - RIGHT, ())
    every = -(-len(edges) // 9)
    parts = [
        text(chart_frame.label(edges[i]), x(i), y.start + 18, anchor="middle")
        for i in range(0, len(edges), every)
    ]
    for i, count in enumerate(counts):
        hint = element(
            "title", f"{chart_frame.label(edges[i])} to {chart_frame.label(edges[i + 1])}: {count:,}"
        )
        size = {"width": max(x(i + 1) - x(i) - 1, 0.5), "height": y.start - y(count)}
        parts.append(element("rect", hint, class_="s0", x=x(i) + 0.5, y=y(count), **size))
    return drawing(caption, chart_frame.frame(x, y, x_label, "count"), *parts, note=note)


def bars(
    caption: str,
    values: Sequence[tuple[str, float, int]],
    *,
    unit: str = "",
    legend: Sequence[tuple[str, int]] = (),
) -> Html:
    """Horizontal bars with their names and values.

    Args:
        caption: the heading.
        values: name, value and colour number of each bar.
        unit: "s" shows values as durations; anything else is set behind the number.
        legend: names of the colours.
    """
    if not values:
        return chart_frame.empty(caption)
    left, row = 200, 26
    largest = max(value for _, value, _ in values) or 1.0
    parts: list[Html] = []
    for i, (name, value, colour) in enumerate(values):
        middle, width = row * i + row / 2 + 3, max((FULL - left - 100) * value / largest, 1.5)
        shown = seconds(value) if unit == "s" else f"{show(value)} {unit}".strip()
        parts.append(text(name, left - 10, middle + 4, anchor="end"))
        css = f"s{colour % COLOURS}"
        parts.append(element("rect", class_=css, x=left, y=middle - 8, width=width, height=16, rx=2))
        parts.append(text(shown, left + width + 7, middle + 4, css="value"))
    keys = [Series(name, (), (), colour=colour) for name, colour in legend]
    shown_keys = _legend(keys, filled=True) if keys else None
    return drawing(caption, *parts, legend=shown_keys, size=(FULL, row * len(values) + 6))


def _curve(one: Series, x: Scale, y: Scale) -> Html:
    if len(one.x) == 1:
        return element("circle", class_=f"s{one.colour % COLOURS}", cx=x(one.x[0]), cy=y(one.y[0]), r=3.5)
    points = _points((x(a), y(b)) for a, b in zip(one.x, one.y, strict=True))
    return element("polyline", class_=one.css, points=points)


def _banded(one: Series, x: Scale, y: Scale, shift: float) -> Html:
    css = f"s{one.colour % COLOURS}"
    at = [x(value) + shift for value in one.x]
    low, high, middle = ([y(v) for v in values] for values in (one.low, one.high, one.y))
    parts = []
    if one.low:
        outline = [*zip(at, high, strict=True), *reversed([*zip(at, low, strict=True)])]
        parts.append(element("polygon", class_=f"{css} band", points=_points(outline)))
        for a, bottom, top in zip(at, low, high, strict=True):
            parts.append(element("line", class_=f"{css} whisker", x1=a, x2=a, y1=bottom, y2=top))
    parts.append(element("polyline", class_=one.css, points=_points(zip(at, middle, strict=True))))
    for i, (a, b) in enumerate(zip(at, middle, strict=True)):
        interval = f" [{one.low[i]:.3f}, {one.high[i]:.3f}]" if one.low else ""
        hint = element("title", f"{one.name}, {chart_frame.label(one.x[i])}: {one.y[i]:.3f}{interval}")
        parts.append(element("circle", hint, class_=css, cx=a, cy=b, r=4))
    return concat(*parts)


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in places)


def _thinned(one: Series) -> Series:
    size = -(-len(one.x) // POINTS)
    if size <= 1:
        return one
    groups = [slice(i, i + size) for i in range(0, len(one.x), size)]
    means = [sum(one.y[part]) / len(one.y[part]) for part in groups]
    return replace(one, x=[one.x[part][-1] for part in groups], y=means)


def _legend(series: Sequence[Series], *, filled: bool = False) -> Html:
    items = []
    for one in series:
        stroke = element("line", class_=one.css, x1=1, x2=21, y1=5, y2=5)
        if filled:
            stroke = element("rect", class_=f"s{one.colour % COLOURS}", x=6, width=12, height=10, rx=2)
        key = element("svg", stroke, viewBox="0 0 22 10", aria_hidden="true")
        items.append(element("li", key, one.name))
    return element("ul", *items, class_="legend")
