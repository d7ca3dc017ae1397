"""Pairs: captions of images, and how both towers read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.modalities.image import page as image
from components.lib.modalities.text import page as text
from components.lib.pages.page import Figure


def figures(facts: Mapping[str, Any]) -> list[Figure]:
    """How many captions there are."""
    captions, kept = sum(facts.get("captions", {}).values()), sum(facts.get("documents", {}).values())
    return [Figure("captions", captions or None, f"{captions / kept:.1f} an image" if kept else "")]


def tokens(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The size of the images, the tokenizer of the captions, and how many of both there are."""
    pairs, captions = facts.get("pairs", {}), facts.get("captions", {})
    (_, seen), (_, read) = (
        part.tokens(facts.get(name, {})) for name, part in (("image", image), ("text", text))
    )
    return "Pairs as the trunk reads them", {
        **{name: seen[name] for name in ("size", "fitted by", "values")},
        **{name: read[name] for name in ("tokenizer", "vocabulary")},
        "images to train on": pairs.get("train"),
        "captions of them": captions.get("train"),
        "images held out": pairs.get("validation"),
    }
