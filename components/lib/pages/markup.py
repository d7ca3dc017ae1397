"""HTML and SVG that cannot hold unescaped text: every string is escaped unless `element` made it.

A plain string never becomes markup, not even by formatting: joining `Html` with a string gives a plain
string, which is then escaped again. So a slip shows as visible `&lt;`, never as an injection. Tags and
attributes are closed lists without scripts, event handlers, forms, frames or anything that loads a URL.
"""

from __future__ import annotations

import base64
import html
import re
from typing import Any

TAGS = frozenset("""
    a caption code dd details div dl dt figcaption figure footer h1 h2 h3 header li main p pre section span
    strong summary table tbody td th thead tr ul circle g line polygon polyline rect svg text title
""".split())  # fmt: skip
ATTRIBUTES = frozenset("""
    aria-hidden aria-label class cx cy fill-opacity height href id points r role rx scope text-anchor
    title transform viewBox width x x1 x2 y y1 y2
""".split())  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SCHEME_OR_HOST = re.compile(r"[^/#?]*:|[/\\]{2}")


class Html(str):
    """Markup made by `element` or `escape`; everything else is text."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Text as markup; `Html` stays as it is. Control characters and lone surrogates become U+FFFD."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True))


def concat(*parts: object) -> Html:
    """The parts one after the other, each escaped unless it is markup; None is left out."""
    return Html("".join(escape(part) for part in parts if part is not None))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """`<tag ...>children</tag>`, all of it escaped.

    Args:
        tag: one of TAGS.
        children: text or `Html`; None is left out.
        attributes: names of ATTRIBUTES, with `_` for `-` and `class_` for `class`; None leaves one out.

    Raises:
        ValueError: for a tag or an attribute that is not listed, or for a link to another site.
    """
    if tag not in TAGS:
        raise ValueError(f"<{tag}> is not allowed in a report")
    pairs = (_attribute(name, value) for name, value in attributes.items() if value is not None)
    return Html(f"<{tag}{''.join(pairs)}>{concat(*children)}</{tag}>")


def image(png: bytes, description: object) -> Html:
    """A PNG as part of the page; raises ValueError for anything else, such as an SVG with a script."""
    if not png.startswith(PNG):
        raise ValueError("only PNG images stand in a report")
    data = base64.b64encode(png).decode("ascii")
    return Html(f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">')


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    if name not in ATTRIBUTES:
        raise ValueError(f"attribute '{name}' is not allowed in a report")
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    text = _CONTROL.sub("\ufffd", str(value))
    if name == "href" and _SCHEME_OR_HOST.match(text.strip()):
        raise ValueError(f"a report links to its own folder tree only: {text[:100]}")
    return f' {name}="{html.escape(text, quote=True)}"'
