"""Makes the evaluation of a branch: scores, intervals, the comparison of starts, confusion, page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluation import confusion, constant, outcomes, reliability, rivals, slices, variants
from components.evaluation.answers import answered
from components.evaluation.comparison import compare, endings, seconds
from components.evaluation.config import Config
from components.evaluation.gaps import gaps
from components.evaluation.intervals import estimates
from components.evaluation.outcomes import Columns
from components.evaluation.recommendation import recommend
from components.evaluation.shown import Examples, details
from components.evaluation.system import System
from components.lib import tasks
from components.lib.core import bootstrap
from components.lib.core.bootstrap import Drawn, Floats, Statistic
from components.lib.core.errors import DataError
from components.lib.registry import examples as stored
from components.lib.registry.registered_models import Registered
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft


def build(
    config: Config,
    context: Context,
    branch: Manifest,
    others: Mapping[str, Registered],
    compressed: Mapping[str, Manifest],
    draft: Draft,
) -> None:
    """Fills `draft` with evaluation.json, outcomes.parquet, replicates.npy, examples.json, facts and times.

    Args:
        others: champion and anchor, each by its alias, where they are other models than the branch.
        compressed: variants of the branch, by name.
    """
    task = tasks.load(branch.facts["kind"])
    examples, test = _frozen(context, branch, task)
    systems = _systems(context, branch, others, test)
    scored = {name: one.score(test.inputs, test.labels, config.batch_size) for name, one in systems.items()}
    runs = outcomes.read(context.store.open(branch, "outcomes.parquet"), examples)

    def primary(columns: Columns, weights: Floats) -> Floats:
        return _statistic(task, columns, branch.facts["classes"])(weights)[task.PRIMARY]

    classes = {name: one.names for name, one in systems.items()}
    facts, drawn = _facts(config, branch, others, task, scored, classes)
    compared = compare(config, runs, primary, task.METRICS[task.PRIMARY])
    facts["comparison"] = compared | endings(context.store, branch)
    facts["comparison"] |= recommend(facts)
    full = systems["challenger"], scored["challenger"]
    facts["constant"] = constant.gain(config, task, full[1], full[0].names, facts["metrics"])
    facts["reproduced"] = _reproduced(branch, runs, scored["challenger"])
    facts["slices"] = _sliced(config, context, branch, others, task, scored, classes)
    facts |= variants.judge(config, context, compressed, *full, test, draft)
    found = details(context, branch, full[0], facts, full[1], test, config.explain)
    draft.facts.update(facts)
    draft.measured["costs"] = seconds(branch)
    draft.write("evaluation.json", json.dumps({**facts, **found}, indent=1, sort_keys=True))
    draft.write(bootstrap.FILE, bootstrap.packed(drawn))
    draft.write(stored.FILE, answered(systems["challenger"], branch.facts, test.inputs))
    _keep(draft, outcomes.table(scored, examples))


def _systems(
    context: Context, branch: Manifest, others: Mapping[str, Registered], test: Examples
) -> dict[str, System]:
    """The branch, and what it is compared with."""
    with ExitStack() as stack:
        folders = {"challenger": context.store.open_folder(branch, "model/")}
        for alias, version in rivals.distinct(others).items():
            folders[alias] = stack.enter_context(rivals.weights(context, version))
        return {name: System.load(folder, branch.facts, test.labels) for name, folder in folders.items()}


def _keep(draft: Draft, table: pa.Table) -> None:
    """The outcomes of each system."""
    pq.write_table(table, draft.folder / "outcomes.parquet", write_page_checksum=True)
    draft.add("outcomes.parquet", rows=len(table))


def _frozen(context: Context, branch: Manifest, task: ModuleType) -> tuple[pa.Table, Examples]:
    """The frozen examples of a branch; raises DataError if there are none."""
    table = pq.read_table(context.store.open(branch, "examples.parquet"))
    if not len(table):
        raise DataError("there are no examples to score", where=branch.uri, expected="labelled test records")
    inputs = {role: table.column(role).to_pylist() for role in tasks.inputs_of(task.ROLES)}
    return table, Examples(inputs, table.column("label").to_pylist())


def _facts(
    config: Config,
    branch: Manifest,
    others: Mapping[str, Registered],
    task: ModuleType,
    systems: dict[str, Columns],
    classes: dict[str, list[str]],
) -> tuple[dict[str, Any], Drawn]:
    n = len(next(iter(systems["challenger"].values())))
    statistics = {name: _statistic(task, columns, classes[name]) for name, columns in systems.items()}
    compared = {name: one for name, one in statistics.items() if name != "anchor"}
    metrics, difference, drawn = estimates(config, compared, n, task.METRICS)
    facts = {
        "task": branch.facts["task"],
        "kind": branch.facts["kind"],
        "modality": branch.facts["modality"],
        "model": config.model,
        "primary": task.PRIMARY,
        "metric": task.METRICS,
        "examples": n,
        "confidence": config.confidence,
        "replicates": config.replicates,
        "classes": branch.facts["classes"],
        "metrics": metrics["challenger"],
        "champion": _named(others.get("champion")),
        "champion_metrics": metrics.get("champion"),
        "difference": difference or None,
        "anchor": _named(others.get("anchor")),
        "anchor_gaps": _anchor_gaps(task, statistics, n) if "anchor" in others else None,
        "calibration": reliability.measured(config, systems["challenger"], branch.facts.get("temperature")),
        "confusion": confusion.matrix(systems["challenger"], branch.facts["classes"]),
        "test_set": branch.file("examples.parquet").sha256,
    }
    return facts, drawn


def _sliced(
    config: Config,
    context: Context,
    branch: Manifest,
    others: Mapping[str, Registered],
    task: ModuleType,
    systems: Mapping[str, Columns],
    classes: Mapping[str, list[str]],
) -> list[dict[str, Any]]:
    """Metrics by slice; an anchor that is the champion was scored once."""
    same = {"anchor": systems["champion"]} if "anchor" in others and "anchor" not in systems else {}
    names = {"anchor": classes.get("champion", []), **classes}

    def statistic(system: str, columns: Columns) -> Statistic:
        return _statistic(task, columns, names[system])

    found = slices.read(context.store, branch)
    return slices.metrics(config, found, task, {**systems, **same}, statistic)


def _named(version: Registered | None) -> dict[str, str] | None:
    if version is None:
        return None
    return {"name": version.name, "version": version.version, "reference": version.reference}


def _anchor_gaps(task: ModuleType, statistics: Mapping[str, Statistic], n: int) -> dict[str, Any]:
    """Differences by example from the anchor, which may be the champion."""
    anchor = statistics.get("anchor") or statistics["champion"]
    return gaps(statistics["challenger"], anchor, n, task.PRIMARY, task.METRICS[task.PRIMARY])


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
