"""Checks that span stages and plugins: what each section allows by itself but no run can do."""

from __future__ import annotations

from typing import Any

from components.lib.errors import TrunklineError


def check(stages: dict[str, Any], tasks: list[dict[str, Any]]) -> list[TrunklineError]:
    """Every contradiction between sections; a section that is None is already reported and skipped.

    Args:
        stages: stage -> its `Config`, or None.
        tasks: `{"name", "finetuning": Config | None, "evaluation": Config | None}`.
    """
    return []
