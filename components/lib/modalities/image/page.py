"""Images: channels, classes and the one size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages.page import Figure


def figures(facts: Mapping[str, Any]) -> list[Figure]:
    """How many classes are named; they are not trained on."""
    classes = [name for name in facts.get("label", {}) if name]
    return [Figure("classes named", len(classes), "counted, not trained on")] if classes else []


def tokens(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The size of every image, and how many there are."""
    counts, channels, span = facts.get("images", {}), facts.get("channels"), facts.get("range")
    return "Images as the trunk reads them", {
        "size": f"{facts.get('height')} x {facts.get('width')}, {'grey' if channels == 1 else 'colour'}",
        "fitted by": facts.get("fit"),
        "values": "{:g} to {:g} of deeper images become 0 to 255".format(*span) if span else "8 bits",
        "images to train on": counts.get("train"),
        "images held out": counts.get("validation"),
    }
