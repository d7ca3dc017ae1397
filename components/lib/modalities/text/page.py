"""Text: characters and a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages.page import Figure


def figures(facts: Mapping[str, Any]) -> list[Figure]:
    """How much text there is."""
    characters, kept = facts.get("characters", {}), sum(facts.get("documents", {}).values())
    length = f"{sum(characters.values()) / kept:,.0f} characters each" if characters and kept else ""
    return [Figure("characters", sum(characters.values()) if characters else None, length)]


def tokens(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The tokenizer and how many tokens it made."""
    return "Tokenizer", {
        "tokenizer": facts.get("kind"),
        "vocabulary": facts.get("vocab_size"),
        "tokens to train on": facts.get("tokens", {}).get("train"),
        "tokens held out": facts.get("tokens", {}).get("validation"),
    }
