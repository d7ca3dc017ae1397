"""Audio: hours and the one sampling rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages.page import Figure


def figures(facts: Mapping[str, Any]) -> list[Figure]:
    """How much sound there is, and how many classes are named; they are not trained on."""
    kept = sum(facts.get("documents", {}).values())
    seconds = sum(facts.get("milliseconds", {}).values()) / 1000
    minutes = f"{seconds / 60:,.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
    length = f"{seconds / kept:,.1f} seconds a clip" if kept else ""
    classes = [name for name in facts.get("label", {}) if name]
    named = [Figure("classes named", len(classes), "counted, not trained on")] if classes else []
    return [Figure("sound", minutes, length), *named]


def tokens(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The rate, and how much there is."""
    seconds = facts.get("seconds", {})
    return "Audio as the trunk reads it", {
        "sampling rate": f"{facts.get('rate', 0):,} Hz, one channel, 16 bits",
        "clips to train on": facts.get("clips", {}).get("train"),
        "clips held out": facts.get("clips", {}).get("validation"),
        "seconds to train on": seconds.get("train"),
        "seconds held out": seconds.get("validation"),
    }
