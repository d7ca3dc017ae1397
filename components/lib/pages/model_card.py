"""Model cards in Markdown by jinja2 templates: everything that comes from data or settings is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.lib.pages import page

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def render(template: str, **values: object) -> str:
    """A card by its template; `template` is a path below `components/`."""
    return ENVIRONMENT.get_template(template).render(values)


def escape(value: object) -> Markup:
    """`value` as Markdown shows it as it is, on one line: no markup, no HTML; numbers are made readable."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, list):
        return Markup(", ".join(map(escape, value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Markup(f"{value:,}" if isinstance(value, int) else f"{value:.4g}")
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(SPECIAL.sub(r"\\\1", text))


# Decorator of the function that makes a card: one that cannot be drawn says so and loses no model.
drawn = page.instead(
    lambda name, error: f"# {escape(name)}\n\nThe card could not be drawn: {escape(page.told(error))}\n"
)


def untitled(card: str) -> str:
    """A card without its title, for a page that has one; its first line is then the summary."""
    return card.partition("\n\n")[2] if card.startswith("# ") else card


def front_matter(values: Mapping[str, Any]) -> str:
    """The YAML head that the Hugging Face hub reads; JSON values are YAML values."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in values.items()]
    return "\n".join(["---", *lines, "---", ""]) + "\n"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names, for a table of settings."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


ENVIRONMENT = Environment(
    loader=FileSystemLoader(page.COMPONENTS),
    autoescape=True,  # what is escaped is marked so, and macros are not escaped again
    finalize=escape,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
