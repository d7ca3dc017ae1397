"""The frame of a chart: caption, scales, ticks, grid lines and labels, as SVG in fixed coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.lib.pages.markup import Html, concat, element

WIDTH, HEIGHT, FULL = 500, 270, 980  # pixels: half a page wide, and a whole one
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 12, 44
LONGEST = 26  # characters of a label


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
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        place = (math.log(value) if self.log else value) - low
        return self.start + (self.end - self.start) * (place / (high - low) if high > low else 0.5)


def linear(values: Sequence[float], start: float, end: float, count: int = 5) -> Scale:
    """A scale over round numbers that hold all `values`, with about `count` ticks."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # else the ticks could not be told apart
        spread = abs(low) * 0.1 or 1.0
        low, high = low - spread, high + spread
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(_clean(i * step) for i in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], start, end, ticks)


def exact(values: Sequence[float], start: float, end: float, count: int = 6) -> Scale:
    """A scale that ends where the values end, with round ticks inside: for steps along x."""
    low, high = min(values), max(values)
    step = _round_step((high - low) / count) if high > low else 1.0
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, start, end, tuple(_clean(i * step) for i in range(first, last + 1)))


def ratio(values: Sequence[float], start: float, end: float) -> Scale:
    """A logarithmic scale that is labelled at the values themselves, with room at both ends."""
    low, high = min(values), max(values)
    room = (high / low) ** 0.06 if high > low else 2.0
    return Scale(low / room, high * room, start, end, tuple(sorted(set(values))), log=True)


def drawing(
    caption: str,
    *content: Html | None,
    legend: Html | None = None,
    note: str = "",
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> Html:
    """A captioned figure that holds one drawing; it shrinks with the page but never grows."""
    width, height = size
    box = f"0 0 {width} {height}"
    svg = element("svg", *content, viewBox=box, width=width, height=height, role="img", aria_label=caption)
    remark = element("p", note, class_="note") if note else None
    return element("figure", element("figcaption", caption), legend, svg, remark)


def empty(caption: str) -> Html:
    """What stands in place of a drawing without values."""
    note = element("p", "There are no values to draw.", class_="note")
    return element("figure", element("figcaption", caption), note)


def text(content: object, x: float, y: float, *, anchor: str | None = None, css: str | None = None) -> Html:
    """A label at a place; long ones are cut, and show whole when the mouse rests on them."""
    words = str(content)
    hint = element("title", words) if len(words) > LONGEST else None
    shown = f"{words[: LONGEST - 1]}\u2026" if hint else words
    return element("text", hint, shown, x=x, y=y, text_anchor=anchor, class_=css)


def frame(x: Scale, y: Scale, x_label: str, y_label: str) -> Html:
    """Grid, tick labels and axis titles."""
    rows = (_row(y, tick, x) for tick in y.ticks)
    columns = (_column(x, tick, y) for tick in x.ticks)
    base = element("line", class_="axis", x1=x.start, x2=x.end, y1=y.start, y2=y.start)
    below = element("text", x_label, x=(x.start + x.end) / 2, y=HEIGHT - 6, text_anchor="middle")
    turn = f"translate(13 {(y.start + y.end) / 2:.0f}) rotate(-90)"
    beside = element("text", y_label, text_anchor="middle", transform=turn)
    return concat(*rows, *columns, base, below, beside)


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


def _row(y: Scale, tick: float, x: Scale) -> Html:
    place = y(tick)
    line = element("line", class_="grid", x1=x.start, x2=x.end, y1=place, y2=place)
    return concat(line, text(label(tick), x.start - 8, place + 4, anchor="end"))


def _column(x: Scale, tick: float, y: Scale) -> Html:
    place = x(tick)
    mark = element("line", class_="axis", x1=place, x2=place, y1=y.start, y2=y.start + 4)
    return concat(mark, text(label(tick), place, y.start + 18, anchor="middle"))


def _clean(value: float) -> float:
    """0.3 for 0.30000000000000004."""
    return float(f"{value:.12g}")


def _round_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
