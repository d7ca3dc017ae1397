"""Random weights: what the same network learns from the labels alone."""

from __future__ import annotations

from typing import Any


def prepare(model: Any, trunk: Any) -> None:
    """Leaves the branch as it was initialised."""
