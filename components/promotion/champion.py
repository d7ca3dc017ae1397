"""Checks that the champion is still the one that the evaluation compared with, and moves the alias."""

from __future__ import annotations

from components.lib.core.errors import ServiceError
from components.lib.registry.registered_models import ANCHOR, CHAMPION, PREVIOUS, Registered, Registry
from components.lib.storage.artifacts import Manifest

GATE = "trunkline.gate"  # tag of a version: passed or failed


def champion_of(registry: Registry, evaluation: Manifest) -> Registered | None:
    """The present champion of the branch's registered model.

    Raises:
        ServiceError: retriable, if it is neither the one that was scored nor the branch itself.
    """
    name, scored = evaluation.facts["model"], evaluation.key.inputs.get("champion")
    found = registry.find(name, CHAMPION)
    reference = found.reference if found else None
    if reference not in (scored, evaluation.key.inputs["branch"]):
        what, none = "the champion is another than the one that the evaluation scored", "no champion"
        place, fix = f"{name}@{CHAMPION}", "evaluate again"
        raise ServiceError(what, where=place, found=reference or none, expected=scored or none, fix=fix)
    return found


def already(registry: Registry, evaluations: list[Manifest]) -> dict[str, str]:
    """Tasks whose branch is the champion by now -> the branch's reference."""
    found = {}
    for evaluation in evaluations:
        version = champion_of(registry, evaluation)
        if version is not None and version.reference == evaluation.key.inputs["branch"]:
            found[evaluation.facts["task"]] = version.reference
    return found


def decision_number(registry: Registry, evaluation: Manifest) -> int:
    """Number of this decision among those on the model, from 1: versions judged before it count."""
    name, branch = evaluation.facts["model"], evaluation.key.inputs["branch"]
    versions = registry.of(name)
    mine = [int(one.version) for one in versions if one.reference == branch]
    judged = [one for one in versions if GATE in one.tags and (not mine or int(one.version) < min(mine))]
    return 1 + len(judged)


def anchor(registry: Registry, version: Registered, *, better: bool) -> None:
    """Sets the alias `anchor` where it is missing, to the champion or else `version`; moves it if `better`.

    Before `champion` moves: whoever is killed in between does the same again.
    """
    if better or registry.find(version.name, ANCHOR) is None:
        first = version if better else registry.find(version.name, CHAMPION) or version
        registry.set_alias(first, ANCHOR)


def promote(registry: Registry, version: Registered) -> None:
    """Moves `champion` to `version`, `previous` to the one before; repeating it changes nothing.

    `previous` first: whoever is killed in between has lost nothing.
    """
    before = registry.find(version.name, CHAMPION)
    if before is not None and before.version != version.version:
        registry.set_alias(before, PREVIOUS)
    registry.set_alias(version, CHAMPION)
