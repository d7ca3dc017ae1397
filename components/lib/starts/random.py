"""Random weights: what the same network learns from the labels alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lib.starts import Origin

WEIGHTS = True


def cost(origin: Origin) -> float:
    """Nothing is pre-trained."""
    return 0.0


def folder(origin: Origin) -> Path:
    """The network and the reader are the trunk's."""
    return origin.folder


def prepare(model: Any, trunk: Any) -> None:
    """Leaves the branch as it was initialised."""
