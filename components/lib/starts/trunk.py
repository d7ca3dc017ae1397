"""The registered trunk."""

from __future__ import annotations

from typing import Any

from components.lib.models import classifiers


def prepare(model: Any, trunk: Any) -> None:
    """Copies the trunk's weights into the branch."""
    classifiers.start_from(model, trunk.model)
