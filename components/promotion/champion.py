"""Checks that the champion is still the one that the evaluation compared with, and moves the alias."""

from __future__ import annotations

from components.lib.core.errors import ServiceError
from components.lib.registry.registered_models import CHAMPION, PREVIOUS, Registered, Registry
from components.lib.storage.artifacts import Manifest


def champion_of(registry: Registry, evaluation: Manifest) -> Registered | None:
    """The present champion of the branch's registered model.

    Raises:
        ServiceError: retriable, if it is neither the one that was scored nor the branch itself.
    """
    name, scored = evaluation.facts["model"], evaluation.key.inputs.get("champion")
    found = registry.find(name, CHAMPION)
    reference = found.reference if found else None
    if reference not in (scored, evaluation.key.inputs["branch"]):
        raise ServiceError(
            "the champion is another than the one that the evaluation scored",
            where=f"{name}@{CHAMPION}",
            found=reference or "no champion",
            expected=scored or "no champion",
            fix="evaluate again",
        )
    return found


def already(registry: Registry, evaluations: list[Manifest]) -> dict[str, str]:
    """Tasks whose branch is the champion by now -> the branch's reference."""
    found = {evaluation.facts["task"]: champion_of(registry, evaluation) for evaluation in evaluations}
    branches = {evaluation.facts["task"]: evaluation.key.inputs["branch"] for evaluation in evaluations}
    return {
        task: version.reference
        for task, version in found.items()
        if version is not None and version.reference == branches[task]
    }


def promote(registry: Registry, version: Registered) -> None:
    """Moves `champion` to `version`, `previous` to the one before; repeating it changes nothing.

    `previous` first: whoever is killed in between has lost nothing.
    """
    before = registry.find(version.name, CHAMPION)
    if before is not None and before.version != version.version:
        registry.set_alias(before, PREVIOUS)
    registry.set_alias(version, CHAMPION)
