"""Model cards in markdown: everything that comes from data or settings is escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def escape(value: Any) -> str:
    """`value` as text that markdown shows as it is: no markup, no HTML, one line."""
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return SPECIAL.sub(r"\\\1", text)


def number(value: Any) -> str:
    """Integers with thousands separators, floats with four digits, lists of these; else escaped text."""
    if isinstance(value, list):
        return ", ".join(map(number, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A markdown table; cells are escaped."""
    lines = [headers, ["---"] * len(headers), *([number(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str, language: str = "") -> str:
    """A fenced block."""
    return f"```{language}\n{text}\n```"


def render(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A title and sections (heading, markdown); sections without text are left out."""
    parts = [f"# {escape(title)}"]
    parts += [f"## {heading}\n\n{text}" if heading else text for heading, text in sections if text]
    return "\n\n".join(parts) + "\n"


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
