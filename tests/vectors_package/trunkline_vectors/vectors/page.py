"""Vectors: columns and rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages.page import Figure


def figures(facts: Mapping[str, Any]) -> list[Figure]:
    """How many columns of numbers there are."""
    return [Figure("columns of numbers", len(next(iter(facts["columns"])).split(",")))]


def tokens(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The columns, and how many rows there are."""
    return "Rows as the trunk reads them", {
        "columns": ", ".join(facts["columns"]),
        "rows to train on": facts["rows"]["train"],
        "rows held out": facts["rows"]["validation"],
    }
