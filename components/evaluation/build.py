"""Makes the evaluation of a branch: scores, intervals, label efficiency, confusion, page."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluation import card, champion, confusion, modalities, outcomes
from components.evaluation.config import Config
from components.evaluation.efficiency import efficiency
from components.evaluation.intervals import Floats, Statistic, estimates
from components.evaluation.outcomes import Columns
from components.lib.core import plugins
from components.lib.core.errors import DataError
from components.lib.models.classifiers import with_unknown
from components.lib.registry.registered_models import Registered
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft

TASKS = "components.lib.tasks"
SHOWN = 6  # examples that a task may draw


def build(config: Config, context: Context, branch: Manifest, rival: Registered | None, draft: Draft) -> None:
    """Fills `draft` with evaluation.json, outcomes.parquet, card.html and the facts."""
    task = plugins.load(TASKS, branch.facts["kind"])
    examples = pq.read_table(context.store.open(branch, "examples.parquet"))
    if not len(examples):
        raise DataError("there are no examples to score", where=branch.uri, expected="labelled test records")
    systems, classes = _score(config, context, branch, rival, task, examples)
    runs = outcomes.read(context.store.open(branch, "outcomes.parquet"), examples)

    def primary(columns: Columns, weights: Floats) -> Floats:
        return _statistic(task, columns, branch.facts["classes"])(weights)[task.PRIMARY]

    facts = _facts(config, branch, rival, task, systems, classes)
    facts["efficiency"] = efficiency(config, runs, primary)
    facts["confusion"] = confusion.matrix(systems["challenger"], branch.facts["classes"])
    facts["reproduced"] = _reproduced(branch, runs, systems["challenger"])
    details = {
        "worst_confusions": confusion.worst(facts["confusion"] or [], branch.facts["classes"]),
        "confident_errors": confusion.confident_errors(
            systems["challenger"],
            examples,
            branch.facts["classes"],
            modalities.load(branch.facts.get("modality", "text")),
        ),
        "pictures": _pictures(context, branch, task, examples),
    }
    draft.facts.update(facts)
    draft.write("evaluation.json", json.dumps({**facts, **details}, indent=1, sort_keys=True))
    draft.write("card.html", card.render(facts, details))
    table = outcomes.table(systems, examples)
    pq.write_table(table, draft.folder / "outcomes.parquet", write_page_checksum=True)
    draft.add("outcomes.parquet", rows=len(table))


def _pictures(context: Context, branch: Manifest, task: ModuleType, examples: pa.Table) -> dict[str, Any]:
    """What a task draws of the first examples: how to read it, and PNG files in base64 with captions."""
    if not hasattr(task, "pictures"):
        return {}
    note, shown = task.pictures(context.store.open_folder(branch, "model/"), examples.slice(0, SHOWN))
    return {"note": note, "items": [[base64.b64encode(png).decode(), caption] for png, caption in shown]}


def _score(
    config: Config,
    context: Context,
    branch: Manifest,
    rival: Registered | None,
    task: ModuleType,
    examples: pa.Table,
) -> tuple[dict[str, Columns], dict[str, list[str]]]:
    """Outcomes of each system on the examples, and the classes that their indices stand for.

    A champion that was trained on fewer classes is wrong about the examples of the others.
    """
    with ExitStack() as stack:
        folders = {"challenger": context.store.open_folder(branch, "model/")}
        if rival is not None:
            folders["champion"] = stack.enter_context(champion.weights(context, rival))
        systems = {name: task.score(folder, examples, config.batch_size) for name, folder in folders.items()}
        labels = examples.column("label").to_pylist()
        known = getattr(task, "with_unknown", with_unknown)
        classes = {name: known(_classes(folder), labels) for name, folder in folders.items()}
    return systems, classes


def _facts(
    config: Config,
    branch: Manifest,
    rival: Registered | None,
    task: ModuleType,
    systems: dict[str, Columns],
    classes: dict[str, list[str]],
) -> dict[str, Any]:
    n = len(next(iter(systems["challenger"].values())))
    statistics = {name: _statistic(task, columns, classes[name]) for name, columns in systems.items()}
    metrics, difference = estimates(config, statistics, n)
    serving = {"name": rival.name, "version": rival.version, "reference": rival.reference} if rival else None
    return {
        "task": branch.facts["task"],
        "kind": branch.facts["kind"],
        "model": config.model,
        "primary": task.PRIMARY,
        "examples": n,
        "confidence": config.confidence,
        "replicates": config.replicates,
        "classes": branch.facts["classes"],
        "metrics": metrics["challenger"],
        "champion": serving,
        "champion_metrics": metrics.get("champion"),
        "difference": difference or None,
    }


def _statistic(task: ModuleType, columns: Columns, classes: list[str]) -> Statistic:
    def metrics(weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = task.metrics(columns, weights, classes)
        return found

    return metrics


def _reproduced(branch: Manifest, runs: dict[outcomes.Run, Columns], scored: Columns) -> float | None:
    """Share of examples on which the weights give what finetuning recorded for the chosen run."""
    chosen = branch.facts.get("selected") or {}
    recorded = runs.get(("trunk", int(chosen.get("labels", -1)), int(chosen.get("seed", -1))))
    return None if recorded is None else round(outcomes.agreement(scored, recorded), 6)


def _classes(folder: Path) -> list[str]:
    table = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    return [table[str(number)] for number in range(len(table))]
