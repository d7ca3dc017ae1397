"""Self-contained HTML pages by jinja2 templates: autoescaped, no script, no external resource.

A page's template stands beside the code that calls `render`; it extends `lib/pages/page.html.j2` and takes
its building blocks from `lib/pages/parts.html.j2`. The pages are shown by KFP's viewer in a sandboxed frame
and by a browser from a file.

A page only decorates a result, so it never fails: a section, a chart or a page that cannot be drawn says so
in its place, and the reason goes to the log.
"""

from __future__ import annotations

import base64
import functools
import math
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.lib.core.errors import TrunklineError

NOTHING = "\u2013"  # an en dash: there is no value
COMPONENTS = Path(__file__).parents[2]
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SCHEME_OR_HOST = re.compile(r"[^/#?]*:|[/\\]{2}")
_SIGNED = re.compile("[+\u2212-]?[0-9][0-9.,]*( ?%)?")
_PNG = re.compile("iVBORw0KGgo[A-Za-z0-9+/]*={0,2}")  # the signature of a PNG file in base64
_WAV = re.compile("UklGR[A-Za-z0-9+/]*={0,2}")  # that of a RIFF file
Draw = TypeVar("Draw", bound=Callable[..., str])


@dataclass(frozen=True)
class Figure:
    """One tile: a key figure, what it is, and a line that qualifies it (its interval, its unit).

    Attributes:
        tone: good, bad, warn or nothing.
        wide: twice as wide and larger: for the one figure that a page is about.
    """

    label: str
    value: object
    detail: object = ""
    tone: str = ""
    wide: bool = False


def render(template: str, title: str, *, lead: str = "", footer: str = "", **values: object) -> str:
    """A whole HTML document.

    Args:
        template: its place below `components/`.
        title: heading and window title.
        lead: one sentence under the title.
        footer: small print at the end.
        values: what the template names, functions and modules among them.
    """
    head = {"title": title, "lead": lead, "footer": footer}
    try:
        return ENVIRONMENT.get_template(template).render(head | values)
    except Exception as error:
        return ENVIRONMENT.get_template("lib/pages/page.html.j2").render(head | {"content": problem(error)})


def part(name: str, *arguments: object) -> Markup:
    """What a macro of `parts.html.j2` makes: a cell of a table that is more than text, such as a badge."""
    return macro("lib/pages/parts.html.j2", name, *arguments)


def macro(template: str, name: str, *arguments: object) -> Markup:
    """What a macro of a template makes."""
    made: Markup = getattr(ENVIRONMENT.get_template(template).module, name)(*arguments)
    return made


def guarded(caller: Callable[[], Markup]) -> Markup:
    """A part of a page; if it cannot be drawn, a line that says so.

    Templates: `{% call guarded() %}...{% endcall %}`.
    """
    try:
        return caller()
    except Exception as error:
        return problem(error)


def section(title: str, caller: Callable[[], Markup]) -> Markup:
    """A headed, guarded part of a page.

    Templates: `{% call section("Data") %}...{% endcall %}`.
    """
    return part("headed", title, guarded(caller))


def instead(fallback: Callable[[str, Exception], str]) -> Callable[[Draw], Draw]:
    """Decorator of a function that draws what its first argument names: if it fails, `fallback` tells why."""

    def decorate(draw: Draw) -> Draw:
        @functools.wraps(draw)
        def drawn(name: str, *args: Any, **kwargs: Any) -> str:
            try:
                return draw(name, *args, **kwargs)
            except Exception as error:
                return fallback(name, error)

        return cast(Draw, drawn)

    return decorate


def problem(error: Exception) -> Markup:
    """The line that says why something is not there."""
    return part("problem", told(error))


def told(error: Exception) -> str:
    """An error in a line; the log gets the traceback of what nobody foresaw."""
    if not isinstance(error, TrunklineError):
        traceback.print_exception(error)
        return f"{type(error).__name__}: {error}"
    line = f"{error.what} ({error.where})" if error.where else error.what
    print(f"could not be drawn: {line}", file=sys.stderr, flush=True)
    return line


def show(value: object) -> str:
    """A value as a reader wants it: 1,234 and 0.8512 for numbers, a dash for None and NaN, yes and no."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(show, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {show(item)}" for name, item in value.items())
    return str(value)


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


def numeric(rows: Sequence[Sequence[object]], width: int) -> list[bool]:
    """Which columns of a table, after the first, hold only numbers, or nothing: they are set flush right.

    Raises:
        ValueError: if a row has another number of cells than the table has columns.
    """
    if any(len(row) != width for row in rows):
        raise ValueError(f"every row of this table needs {width} cells")
    return [bool(column and rows) and all(_is_number(row[column]) for row in rows) for column in range(width)]


def neighbour(target: str) -> str:
    """The target of a link: a place in this page (`#x`) or a file of the same folder tree.

    Raises:
        ValueError: for one with a scheme or a host.
    """
    if _SCHEME_OR_HOST.match(_CONTROL.sub("\ufffd", target).strip()):
        raise ValueError(f"a page links to its own folder tree only: {target[:100]}")
    return target


def inline(png: bytes | str) -> str:
    """A PNG file, or its base64, as a data URL; nothing for anything else, such as an SVG with a script."""
    text = base64.b64encode(png).decode("ascii") if isinstance(png, bytes) else png
    return f"data:image/png;base64,{text}" if _PNG.fullmatch(text) else ""


def playable(wav: str) -> str:
    """The base64 of a WAV file as a data URL; nothing for anything else."""
    return f"data:audio/wav;base64,{wav}" if _WAV.fullmatch(wav) else ""


def _printed(value: object) -> object:
    """What `{{ value }}` prints, before it is escaped: control characters show, floats (pixels) are short."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _CONTROL.sub("\ufffd", value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def _decimal(value: float) -> str:
    size = abs(value)
    if math.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:.3f}" if size < 10 else f"{value:.1f}"


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value == NOTHING or _SIGNED.fullmatch(value) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


ENVIRONMENT = Environment(
    loader=FileSystemLoader(COMPONENTS),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_printed,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "show": show,
    "seconds": seconds,
    "numeric": numeric,
    "neighbour": neighbour,
    "inline": inline,
    "playable": playable,
}
ENVIRONMENT.globals |= {"Figure": Figure, "section": section, "guarded": guarded}
