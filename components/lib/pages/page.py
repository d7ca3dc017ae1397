"""Building blocks of self-contained pages: no script, no external resource, everything escaped.

    page("Data card", [section("Counts", figures([Figure("documents", 18_000)]), table(headers, rows))])

The pages are shown by KFP's viewer in a sandboxed frame and by a browser from a file; they follow the
reader's light or dark preference. Charts are in `components.lib.pages.charts`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.lib.pages.markup import Html, concat, element, escape, image

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
TONES = ("", "good", "bad", "warn")
NOTHING = "\u2013"  # an en dash: there is no value
_SIGNED = re.compile("[+\u2212-]?[0-9][0-9.,]*( ?%)?")


@dataclass(frozen=True)
class Figure:
    """One tile: a key figure, what it is, and a line that qualifies it (its interval, its unit).

    Attributes:
        tone: one of TONES.
        wide: twice as wide and larger: for the one figure that a page is about.
    """

    label: str
    value: object
    detail: object = ""
    tone: str = ""
    wide: bool = False


def page(title: str, sections: Iterable[Html], *, lead: object = "", footer: object = "") -> str:
    """A whole HTML document.

    Args:
        title: heading and window title.
        sections: made by the functions of this module, in reading order.
        lead: one sentence under the title.
        footer: small print at the end.
    """
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    brand = element("div", "Trunkline", class_="brand")
    subtitle = element("p", lead, class_="lead") if lead else None
    header = element("header", brand, element("h1", title), subtitle)
    body = element("main", header, *map(escape, sections), element("footer", footer) if footer else None)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"{element('title', title)}\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(title: str, *content: object, note: object = "", anchor: str | None = None) -> Html:
    """A headed part of a page; `note` is a grey sentence that says how to read it."""
    remark = element("p", note, class_="note") if note else None
    return element("section", element("h2", title), remark, *content, id=anchor)


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], *, caption: object = "") -> Html:
    """A table; columns whose cells are all numbers (or missing) are set flush right.

    Args:
        headers: one cell a column.
        rows: cells as text, numbers, None (shown as a dash) or `Html`.
        caption: what the table shows.
    """
    body = [list(row) for row in rows]
    numeric = [
        bool(body) and all(_is_number(row[column]) for row in body if column < len(row))
        for column in range(len(headers))
    ]
    classes = ["number" if is_number else None for is_number in numeric]
    head = [element("th", cell, scope="col", class_=css) for cell, css in zip(headers, classes, strict=True)]
    lines = [
        element(
            "tr",
            *(
                element("td", show(c), class_=css or _cell_class(c))
                for c, css in zip(row, classes, strict=True)
            ),
        )
        for row in body
    ]
    title = element("caption", caption) if caption else None
    content = element("table", title, element("thead", element("tr", *head)), element("tbody", *lines))
    return element("div", content, class_="scroll")


def figures(items: Iterable[Figure]) -> Html:
    """A row of tiles with key figures."""
    return element("div", *map(_tile, items), class_="tiles")


def picture(title: object, png: bytes, note: object = "") -> Html:
    """A PNG with its title; `note` says how to read it."""
    remark = element("p", note, class_="note") if note else None
    return element("figure", element("figcaption", title), image(png, title), remark)


def definitions(pairs: Mapping[str, object] | Iterable[tuple[object, object]]) -> Html:
    """Names with their values, one a line."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return element("dl", *(concat(element("dt", name), element("dd", show(v))) for name, v in items))


def verdict(tone: str, headline: str, reasons: Sequence[object] = ()) -> Html:
    """A coloured banner: the one sentence to remember and what supports it. `tone` is one of TONES."""
    if len(reasons) == 1:
        detail: Html | None = element("p", reasons[0])
    else:
        detail = element("ul", *(element("li", reason) for reason in reasons)) if reasons else None
    return element("div", element("strong", headline), detail, class_=f"verdict {_tone(tone)}".strip())


def paragraph(*content: object, note: bool = False) -> Html:
    """Text; `note` makes it small and grey."""
    return element("p", *content, class_="note" if note else None)


def listing(items: Iterable[object]) -> Html:
    """Bullet points."""
    return element("ul", *(element("li", item) for item in items))


def subheading(text: object) -> Html:
    """A heading inside a section."""
    return element("h3", text)


def code(text: object) -> Html:
    """A word or a path in monospace; only what is long may be broken."""
    return element("code", text, class_="whole" if len(str(text)) <= 24 else None)


def preformatted(text: str) -> Html:
    """Lines of code as they are."""
    return element("pre", element("code", text))


def columns(*content: object) -> Html:
    """Side by side where the screen is wide enough, else one below the other."""
    return element("div", *content, class_="columns")


def stack(*content: object) -> Html:
    """One below the other."""
    return element("div", *content)


def folded(summary: object, *content: object) -> Html:
    """Content that the reader may open."""
    return element("details", element("summary", summary), *content)


def badge(text: object, tone: str = "") -> Html:
    """A small coloured word. `tone` is one of TONES."""
    return element("span", text, class_=f"badge {_tone(tone)}".strip())


def link(text: object, target: str) -> Html:
    """A link to a place in this page (`#x`) or to a file next to it; other targets raise ValueError."""
    return element("a", text, href=target, class_=None if isinstance(text, Html) else _cell_class(text))


def show(value: object) -> Html:
    """A value as a reader wants it: 1,234 and 0.8512 for numbers, a dash for None and NaN, yes and no."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return escape(NOTHING)
    if isinstance(value, bool):
        return escape("yes" if value else "no")
    if isinstance(value, int):
        return escape(f"{value:,}")
    if isinstance(value, float):
        return escape(_decimal(value))
    if isinstance(value, list | tuple):
        return concat(*(concat(", " if i else None, show(item)) for i, item in enumerate(value)))
    if isinstance(value, Mapping):
        return show([concat(name, ": ", show(item)) for name, item in value.items()])
    return escape(value)


def seconds(value: float | None) -> str:
    """A duration: 0.42 s, 12.3 s, 4 min 05 s, 2 h 07 min."""
    if value is None:
        return NOTHING
    if value < 60:
        return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _decimal(value: float) -> str:
    size = abs(value)
    if math.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:.3f}" if size < 10 else f"{value:.1f}"


def _tile(item: Figure) -> Html:
    css = " ".join(name for name in ("tile", _tone(item.tone), "wide" if item.wide else "") if name)
    detail = element("div", item.detail, class_="detail") if item.detail else None
    shown, exact = item.value, None
    if isinstance(shown, int) and abs(shown) >= 1e7:
        shown, exact = f"{shown / 1e6:,.1f} M", show(shown)
    label = element("div", item.label, class_="label")
    return element("div", label, element("div", show(shown), class_="value", title=exact), detail, class_=css)


def _tone(tone: str) -> str:
    if tone not in TONES:
        raise ValueError(f"unknown tone '{tone}'")
    return tone


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value == NOTHING or _SIGNED.fullmatch(value) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell_class(value: object) -> str | None:
    """Short text stays on one line, long text gets room."""
    if isinstance(value, Html) or not isinstance(value, str):
        return None
    return "text" if len(value) > 60 else "whole" if len(value) <= 24 else None
