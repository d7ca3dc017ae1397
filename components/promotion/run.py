"""Promotion: decision first, then versions, tags and aliases; each step can be repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.lib.core.errors import DataError
from components.lib.core.settings import to_dict
from components.lib.registry.registered_models import Registry
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context, read_records
from components.lib.storage.store import Draft
from components.promotion import champion, gate
from components.promotion.application import apply
from components.promotion.config import Config
from components.promotion.decision import PROMOTED, REJECTED, decide

VERSION = 5


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
        registered: manifest of the registered trunk.
        evaluations: manifests of the evaluations, one a task.
        decision: where the manifest of the decision is written; decision.json is a function of the inputs.
        report: where the report is written; the store keeps it as runs/<run>/report.html, and verdict.json.

    Raises:
        ConfigErrors: if a rule or an option of one is unknown.
        ServiceError: if the champion changed since the evaluation (evaluate again), or the server fails.
    """
    rules = gate.load(config.rules)
    trunk, scored = artifacts.read(registered), _checked([artifacts.read(path) for path in evaluations])
    registry = Registry(context.tracking_uri)
    champions = champion.already(registry, scored)
    numbers = {one.facts["task"]: champion.decision_number(registry, one) for one in scored}
    key = _key(config, trunk, scored, {}, numbers)
    if champions and context.store.find(key) is None:  # else: we are completing that very decision
        key = _key(config, trunk, scored, champions, numbers)

    def build(draft: Draft) -> None:
        decided = decide(rules, trunk, scored, champions, numbers)
        draft.write("decision.json", json.dumps(decided, indent=1, sort_keys=True))
        verdicts = {task["task"]: task["verdict"] for task in decided["tasks"]}
        draft.facts |= {"passed": decided["trunk_passed"], "tasks": verdicts}

    manifest = context.produce(key, build, decision)
    decided = json.loads(context.store.open(manifest, "decision.json").read_bytes())
    apply(context, registry, manifest, decided, trunk, scored)
    _report(context, registry, decided, trunk, scored, report)
    return manifest


def _tell(context: Context, decided: dict[str, Any]) -> None:
    """Says of each branch why it is not promoted, or is in spite of doubts, where everybody looks."""
    for task in decided["tasks"]:
        if task["verdict"] == PROMOTED and task.get("constant"):
            context.tell(f"{task['task']} is promoted, though {task['constant']}")
        if task["verdict"] == REJECTED:
            failed = [finding["reason"] for finding in task["findings"] if not finding["passed"]]
            context.tell(f"{task['task']} is NOT promoted: {'; '.join(failed)}")


def _key(
    config: Config,
    trunk: Manifest,
    scored: list[Manifest],
    champions: dict[str, str],
    numbers: dict[str, int],
) -> Key:
    inputs = {f"evaluation.{evaluation.facts['task']}": evaluation.reference for evaluation in scored}
    inputs |= {f"champion.{task}": reference for task, reference in champions.items()}
    return Key(
        "promotion",
        VERSION,
        to_dict(config) | {"decisions": numbers},
        {"trunk": trunk.key.inputs["trunk"], **inputs},
    )


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
    from components.promotion.life import decisions
    from components.promotion.page import render

    _tell(context, decided)
    verdicts = json.dumps({"tasks": [verdict(one.facts, one.measured) for one in scored]}, indent=1)
    context.store.objects.write(f"runs/{context.run_id}/verdict.json", verdicts.encode())
    lives = {one.facts["model"]: decisions(context.store, registry, one.facts["model"]) for one in scored}
    text = render(context.store, decided, scored, trunk, read_records(context), lives)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(text, encoding="utf-8")
    context.store.objects.write(f"runs/{context.run_id}/report.html", text.encode())
