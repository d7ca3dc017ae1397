"""Text: its beginning, on one line."""

from __future__ import annotations

COLUMN = "text"
EXCERPT = 300  # characters


def excerpt(value: str) -> tuple[str, str]:
    """As `text`."""
    line = " ".join(value.split())
    return "text", line if len(line) <= EXCERPT else f"{line[:EXCERPT]}\u2026"
