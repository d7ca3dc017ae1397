"""The registered trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lib.models import classifiers
from components.lib.starts import Origin

WEIGHTS = True


def cost(origin: Origin) -> float | None:
    """What pretraining measured; None for weights that were adopted."""
    known: float | None = origin.trunk.measured.get("cpu_seconds", origin.trunk.facts.get("cpu_seconds"))
    return known


def folder(origin: Origin) -> Path:
    """Where the registered trunk is."""
    return origin.folder


def prepare(model: Any, trunk: Any) -> None:
    """Copies the trunk's weights into the branch."""
    classifiers.start_from(model, trunk.model)
