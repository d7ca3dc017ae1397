"""Promotion: decision first, then versions, tags and aliases; each step can be repeated."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from components.lib.core.errors import DataError, IntegrityError, MissingError
from components.lib.core.failpoints import reach
from components.lib.core.settings import to_dict
from components.lib.registry import aliases
from components.lib.registry.registered_models import Registry
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context, patient, read_records
from components.lib.storage.store import Draft, Store
from components.promotion import champion, gate, variants
from components.promotion.application import apply
from components.promotion.champion import Candidate
from components.promotion.config import Config
from components.promotion.decision import PROMOTED, REJECTED, decide
from components.promotion.history import DECISION, decisions, test_sets

VERSION = 6


@patient
def run(
    config: Config,
    context: Context,
    *,
    registered: Path,
    evaluations: list[Path],
    decision: Path,
    report: Path,
) -> Manifest:
    """Gates the branches, registers them, moves aliases, writes the run's report.

    Args:
        registered, evaluations: manifests of the registered trunk, and of the evaluations, one a task.
        decision, report: where both are written; the store keeps runs/<run>/report.html, and verdict.json.

    Raises:
        ConfigErrors: if a rule or an option of one is unknown.
        ServiceError: if the server fails, or a champion changes all the time.
    """
    rules = gate.load(config.rules)
    trunk, scored = artifacts.read(registered), _checked([artifacts.read(path) for path in evaluations])
    registry = Registry(context.tracking_uri)
    models = [trunk.facts["name"], *(name for one in scored for name in variants.models(one.facts))]
    with aliases.locked(context.store.objects, models, context.run_id, context.tell):
        moves = {name: aliases.Moves(context.store.objects, name) for name in models}
        candidates = [champion.candidate(context.store, registry, one) for one in scored]
        key = _begun(config, context.store, trunk, candidates) or _key(config, trunk, candidates)

        def build(draft: Draft) -> None:
            _write(draft, decide(rules, trunk, candidates, config.variant_margin))

        manifest = context.produce(key, build, decision)
        reach("promotion.decided")
        decided = json.loads(context.store.open(manifest, "decision.json").read_bytes())
        apply(context, registry, moves, manifest, decided, trunk, candidates)
    _report(context, registry, decided, trunk, scored, report)
    return manifest


def _write(draft: Draft, decided: dict[str, Any]) -> None:
    draft.write("decision.json", json.dumps(decided, indent=1, sort_keys=True))
    verdicts = {task["task"]: task["verdict"] for task in decided["tasks"]}
    draft.facts |= {"passed": decided["trunk_passed"], "tasks": verdicts}


def _begun(config: Config, store: Store, trunk: Manifest, candidates: list[Candidate]) -> Key | None:
    """The key of this very decision, which another attempt has taken, and applied at least in part."""
    for one in candidates:
        if one.reigns and one.champion is not None and DECISION in one.champion.tags:
            with suppress(MissingError, IntegrityError):
                key = store.resolve(one.champion.tags[DECISION]).key
                mine = _key(config, trunk, [replace(each, rival="", champion=None) for each in candidates])
                same = {name: key.inputs.get(name) for name in mine.inputs} == mine.inputs
                if same and (key.version, key.config) == (mine.version, mine.config):
                    return key
    return None


def _tell(context: Context, decided: dict[str, Any]) -> None:
    """Says of each branch why it is not promoted, or is in spite of doubts, where everybody looks."""
    for task in decided["tasks"]:
        if task["verdict"] == PROMOTED and task.get("constant"):
            context.tell(f"{task['task']} is promoted, though {task['constant']}")
        if task["verdict"] == REJECTED:
            failed = [finding["reason"] for finding in task["findings"] if not finding["passed"]]
            context.tell(f"{task['task']} is NOT promoted: {'; '.join(failed)}")
        for one in task["variants"]:
            if not one["passed"]:
                context.tell(f"{task['task']}: {one['name']} is NOT promoted: {'; '.join(one['reasons'])}")


def _key(config: Config, trunk: Manifest, candidates: list[Candidate]) -> Key:
    inputs = {"trunk": trunk.key.inputs["trunk"]}
    for one in candidates:
        task = one.evaluation.facts["task"]
        inputs[f"evaluation.{task}"] = one.evaluation.reference
        if one.reigns:
            inputs[f"champion.{task}"] = one.branch
        elif one.rival:
            inputs[f"rival.{task}"] = one.rival
    numbers = {one.evaluation.facts["task"]: one.facts["decision"] for one in candidates}
    return Key("promotion", VERSION, to_dict(config) | {"decisions": numbers}, inputs)


def _checked(scored: list[Manifest]) -> list[Manifest]:
    """The same; raises DataError if two are of one task."""
    names = [evaluation.facts["task"] for evaluation in scored]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError("a task was evaluated twice", where="evaluations", found=", ".join(twice))
    return scored


def _report(
    context: Context,
    registry: Registry,
    decided: dict[str, Any],
    trunk: Manifest,
    scored: list[Manifest],
    report: Path,
) -> None:
    from components.lib.pages.starts import verdict
    from components.promotion.page import render

    _tell(context, decided)
    verdicts = json.dumps({"tasks": [verdict(one.facts, one.measured) for one in scored]}, indent=1)
    context.store.objects.write(f"runs/{context.run_id}/verdict.json", verdicts.encode())
    lives = {one.facts["model"]: decisions(context.store, registry, one.facts["model"]) for one in scored}
    sets = partial(test_sets, context.store)
    text = render(context.store, decided, scored, trunk, read_records(context), lives, sets)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(text, encoding="utf-8")
    context.store.objects.write(f"runs/{context.run_id}/report.html", text.encode())
