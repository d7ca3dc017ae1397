"""What only a run on vectors can be told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.storage.artifacts import Manifest

SCALING = "model/vectors.json"


def layers(dials: Mapping[str, Any]) -> int:
    """How many layers a trunk has that can be frozen one by one."""
    return len(dials["widths"])


def follow(trunk: Manifest) -> dict[str, Any]:
    """The mean and deviation that its weights know."""
    return {"scaling": f"{trunk.uri}/{SCALING}"} if SCALING in trunk.names() else {}
