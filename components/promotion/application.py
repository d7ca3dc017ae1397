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
        _tag(registry, version, task, decision)
    for task, version, one in zip(decided["tasks"], versions, candidates, strict=True):
        if WITHDRAWN in version.tags:
            why = version.tags[WITHDRAWN]
            context.tell(f"{task['task']} is NOT promoted: version {version.version} was withdrawn: {why}")
        elif task["verdict"] != REJECTED:
            better = any(finding["numbers"].get("better") for finding in task["findings"])
            promote(registry, moves[version.name], version, expected=one.champion, better=better)
        for variant in task["variants"]:
            if WITHDRAWN in version.tags:  # what it was made of does not answer as was evaluated
                variant |= {"passed": False, "reasons": ["its branch was withdrawn"]}
            _apply_variant(context, registry, moves, decision, task, variant, one.evaluation)
    if not any(WITHDRAWN in version.tags for version in versions):
        _promote_trunk(context, registry, moves, decided, trunk, evaluations)


def _apply_variant(
    context: Context,
    registry: Registry,
    moves: Mapping[str, Moves],
    decision: Manifest,
    task: dict[str, Any],
    variant: dict[str, Any],
    evaluation: Manifest,
) -> None:
    """Registers a compressed variant as a model of its own, whose champion it becomes if it passed."""
    asked = {"task": task["task"], "model": variant["model"], "branch": variant["reference"]}
    version = _register(context, registry, asked, evaluation, variant["name"])
    variant["version"] = version.version
    _tag(registry, version, variant, decision)
    if WITHDRAWN in version.tags:
        context.tell(f"{version.name} is NOT promoted: version {version.version} was withdrawn")
    elif variant["passed"]:
        before = registry.find(version.name, CHAMPION)
        promote(registry, moves[version.name], version, expected=before)


def _tag(registry: Registry, version: Registered, decided: Mapping[str, Any], decision: Manifest) -> None:
    tags = {"gate": "passed" if decided["passed"] else "failed", "decision": decision.reference}
    tags["gate.reasons"] = "; ".join(decided["reasons"])
    registry.tag(version, {f"trunkline.{name}": text for name, text in tags.items()})


def _register(
    context: Context, registry: Registry, task: dict[str, Any], evaluation: Manifest, variant: str = ""
) -> Registered:
    name, branch = task["model"], context.store.resolve(task["branch"])
    version, mine = registry.version(name, branch.reference), dataclasses.replace(context, task=task["task"])
    if version is not None:  # whoever made it may have been killed before its run had ended
        conclude(mine, branch.key.digest, "FINISHED")
        maker = version.tags.get("trunkline.run_id", "")
        adopt(mine, branch.key.digest, version.reference, maker, name)
    else:
        past = [] if variant else [*decisions(context.store, registry, name), task]
        text = card(name, branch, evaluation, past, variant)
        facts = evaluation.facts["variants"][variant] if variant else evaluation.facts
        with track(mine, branch.key.digest, name=name) as tracker:
            tracker.params({branch.key.stage: branch.key.config})
            tracker.history([{"step": 0, **_figures(facts["metrics"])}])
            tracker.flush()
            tags = {"trunkline.task": task["task"]}
            tags |= {"trunkline.compression": variant} if variant else {EVALUATION: evaluation.reference}
            about: dict[str, Any] = {"use": evaluation.facts["kind"], "card": text, "tags": tags}
            about["examples"] = _examples(context, evaluation, variant)
            version = publish(mine, registry, tracker, branch, name=name, **about)
    registry.set_alias(version, CHALLENGER)
    return version


def _examples(context: Context, evaluation: Manifest, variant: str) -> bytes:
    """Questions with their answers, which a server asks before a version takes traffic."""
    name = f"{variant}/{examples.FILE}" if variant else examples.FILE
    there = evaluation.names(name)
    return context.store.open(evaluation, name).read_bytes() if there else b""


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Each defined metric with the ends of its interval."""
    found: dict[str, float | None] = {}
    for name, entry in metrics.items():
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
