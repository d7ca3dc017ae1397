"""Applies a decision: registers branches, tags them, and moves aliases."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.lib.registry import examples
from components.lib.registry.aliases import Moves, promote
from components.lib.registry.publishing import publish
from components.lib.registry.registered_models import CHALLENGER, CHAMPION, Registered, Registry
from components.lib.registry.rollback import WITHDRAWN
from components.lib.registry.tracking import adopt, conclude, track
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.promotion.card import card
from components.promotion.champion import EVALUATION, Candidate
from components.promotion.decision import REJECTED
from components.promotion.history import decisions


def apply(
    context: Context,
    registry: Registry,
    moves: Mapping[str, Moves],
    decision: Manifest,
    decided: dict[str, Any],
    trunk: Manifest,
    candidates: list[Candidate],
) -> None:
    """Registers every branch, then tags all, then moves aliases; adds `version` to each task of `decided`.

    Args:
        moves: of each model, as they were when the champions were looked up.

    Raises:
        ServiceError: if an alias does not read back as it was set, or a champion changed meanwhile.
        IntegrityError: if a file of a branch is not the one that was committed.
    """
    versions, evaluations = [], [one.evaluation for one in candidates]
    for task, evaluation in zip(decided["tasks"], evaluations, strict=True):
        versions.append(_register(context, registry, task, evaluation))
        task["version"] = versions[-1].version
    for task, version in zip(decided["tasks"], versions, strict=True):
        tags = {"gate": "passed" if task["passed"] else "failed", "gate.reasons": "; ".join(task["reasons"])}
        tags["decision"] = decision.reference
        registry.tag(version, {f"trunkline.{name}": text for name, text in tags.items()})
    for task, version, one in zip(decided["tasks"], versions, candidates, strict=True):
        if WITHDRAWN in version.tags:
            why = version.tags[WITHDRAWN]
            context.tell(f"{task['task']} is NOT promoted: version {version.version} was withdrawn: {why}")
        elif task["verdict"] != REJECTED:
            better = any(finding["numbers"].get("better") for finding in task["findings"])
            promote(registry, moves[version.name], version, expected=one.champion, better=better)
    if not any(WITHDRAWN in version.tags for version in versions):
        _promote_trunk(context, registry, moves, decided, trunk, evaluations)


def _register(context: Context, registry: Registry, task: dict[str, Any], evaluation: Manifest) -> Registered:
    name, branch = task["model"], context.store.resolve(task["branch"])
    version, mine = registry.version(name, branch.reference), dataclasses.replace(context, task=task["task"])
    if version is not None:  # whoever made it may have been killed before its run had ended
        conclude(mine, branch.key.digest, "FINISHED")
        maker = version.tags.get("trunkline.run_id", "")
        adopt(mine, branch.key.digest, version.reference, maker, name)
    else:
        past = decisions(context.store, registry, name)
        text = card(name, branch, evaluation, [*past, task])
        with track(mine, branch.key.digest, name=name) as tracker:
            tracker.params({"finetuning": branch.key.config})
            tracker.history([{"step": 0, **_figures(evaluation)}])
            tracker.flush()
            tags = {"trunkline.task": task["task"], EVALUATION: evaluation.reference}
            about: dict[str, Any] = {"use": evaluation.facts["kind"], "card": text, "tags": tags}
            about["examples"] = _examples(context, evaluation)
            version = publish(mine, registry, tracker, branch, name=name, **about)
    registry.set_alias(version, CHALLENGER)
    return version


def _examples(context: Context, evaluation: Manifest) -> bytes:
    """Questions with their answers, which a server asks before a version takes traffic."""
    there = evaluation.names(examples.FILE)
    return context.store.open(evaluation, examples.FILE).read_bytes() if there else b""


def _figures(evaluation: Manifest) -> dict[str, float]:
    """Each defined metric with the ends of its interval."""
    found: dict[str, float | None] = {}
    for name, entry in evaluation.facts["metrics"].items():
        found |= {f"{name}/{end}" if end != "value" else name: entry[end] for end in ("value", "low", "high")}
    return {name: value for name, value in found.items() if value is not None}


def _promote_trunk(
    context: Context,
    registry: Registry,
    moves: Mapping[str, Moves],
    decided: dict[str, Any],
    trunk: Manifest,
    evaluations: list[Manifest],
) -> None:
    """The trunk follows its branches: all passed, and all grew from it."""
    grown = {
        context.store.resolve(evaluation.key.inputs["branch"]).key.inputs["trunk"]
        for evaluation in evaluations
    }
    version = registry.version(trunk.facts["name"], trunk.key.inputs["trunk"])
    if decided["trunk_passed"] and grown == {trunk.key.inputs["trunk"]} and version is not None:
        before = registry.find(version.name, CHAMPION)
        promote(registry, moves[version.name], version, expected=before)
