"""The data card."""

from __future__ import annotations

from html import escape

from components.ingestion.statistics import Statistics


def render(statistics: Statistics) -> str:
    """One self-contained page."""
    return f"<!doctype html><pre>{escape(repr(statistics.to_dict()))}</pre>"
