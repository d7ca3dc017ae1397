"""Makes the evaluation of a branch: scores, intervals, the comparison of starts, confusion, page."""

from __future__ import annotations

import base64
import inspect
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from components.evaluation import confusion, constant, outcomes, rivals
from components.evaluation.comparison import compare, endings, seconds
from components.evaluation.config import Config
from components.evaluation.gaps import gaps
from components.evaluation.intervals import Floats, Statistic, estimates
from components.evaluation.outcomes import Columns
from components.evaluation.recommendation import recommend
from components.evaluation.system import System
from components.lib import tasks
from components.lib.core import plugins
from components.lib.core.errors import DataError
from components.lib.registry.registered_models import Registered
from components.lib.storage import lineage
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft

MODALITIES = "components.lib.modalities"
SHOWN = 6  # examples that a task may draw


class Examples(NamedTuple):
    """The test set: role -> values, and labels."""

    inputs: dict[str, list[Any]]
    labels: list[Any]


def build(
    config: Config, context: Context, branch: Manifest, others: Mapping[str, Registered], draft: Draft
) -> None:
    """Fills `draft` with evaluation.json, outcomes.parquet, facts, and the times of the starts.

    Args:
        others: champion and anchor, each by its alias, where they are other models than the branch.
    """
    task = tasks.load(branch.facts["kind"])
    examples = pq.read_table(context.store.open(branch, "examples.parquet"))
    if not len(examples):
        raise DataError("there are no examples to score", where=branch.uri, expected="labelled test records")
    inputs = {role: examples.column(role).to_pylist() for role in tasks.inputs_of(task.ROLES)}
    test = Examples(inputs, examples.column("label").to_pylist())
    with ExitStack() as stack:
        folders = {"challenger": context.store.open_folder(branch, "model/")}
        for alias, version in rivals.distinct(others).items():
            folders[alias] = stack.enter_context(rivals.weights(context, version))
        systems = {name: System.load(folder, branch.facts, test.labels) for name, folder in folders.items()}
    scored = {name: one.score(test.inputs, test.labels, config.batch_size) for name, one in systems.items()}
    runs = outcomes.read(context.store.open(branch, "outcomes.parquet"), examples)

    def primary(columns: Columns, weights: Floats) -> Floats:
        return _statistic(task, columns, branch.facts["classes"])(weights)[task.PRIMARY]

    facts = _facts(config, branch, others, task, scored, {name: one.names for name, one in systems.items()})
    compared = compare(config, runs, primary, task.METRICS[task.PRIMARY])
    facts["comparison"] = compared | endings(context.store, branch)
    facts["comparison"] |= recommend(facts)
    facts["constant"] = constant.gain(
        config, task, scored["challenger"], systems["challenger"].names, facts["metrics"]
    )
    facts["confusion"] = confusion.matrix(scored["challenger"], branch.facts["classes"])
    facts["reproduced"] = _reproduced(branch, runs, scored["challenger"])
    details = _details(context, branch, systems["challenger"], facts, scored["challenger"], test)
    draft.facts.update(facts)
    draft.measured["costs"] = seconds(branch)
    draft.write("evaluation.json", json.dumps({**facts, **details}, indent=1, sort_keys=True))
    table = outcomes.table(scored, examples)
    pq.write_table(table, draft.folder / "outcomes.parquet", write_page_checksum=True)
    draft.add("outcomes.parquet", rows=len(table))


def _details(
    context: Context, branch: Manifest, system: System, facts: dict[str, Any], scored: Columns, test: Examples
) -> dict[str, Any]:
    """What the page shows and nothing decides: confusions, surest errors, pictures; a failure is told."""
    classes, inputs = facts["classes"], next(iter(test.inputs.values()))

    def drawn(what: str, draw: Callable[[], Any], instead: Any) -> Any:
        try:
            return draw()
        except Exception as error:
            traceback.print_exc()
            context.tell(f"{facts['task']}: {what} could not be drawn: {error!r}")
            return instead

    shown = partial(confusion.confident_errors, scored, inputs, classes, system.reader.excerpt)
    corpus = partial(_corpus, context, branch)
    frequent = partial(confusion.worst, facts["confusion"] or [], classes)
    return {
        "worst_confusions": drawn("the frequent confusions", frequent, []),
        "confident_errors": drawn("the surest errors", shown, []),
        "pictures": drawn("the pictures", partial(_pictures, system, test), {}),
        "shown": drawn("the examples", partial(_shown, system, test, corpus), {}),
    }


def _corpus(context: Context, branch: Manifest) -> Iterator[list[str]]:
    """Batches of the texts of pre-training; of other modalities none."""
    found = lineage.ancestors(context.store, branch).get("ingestion")
    if found is not None and plugins.offers(MODALITIES, branch.facts["modality"], "corpus"):
        yield from plugins.load(MODALITIES, branch.facts["modality"], "corpus").texts(context.store, found)


def _shown(system: System, test: Examples, corpus: Callable[[], Iterator[list[str]]]) -> dict[str, Any]:
    """What a task shows of the first examples in a table: how to read it, headers and rows."""
    task = system.task
    if not hasattr(task, "shown"):
        return {}
    first = {role: values[: 2 * SHOWN] for role, values in test.inputs.items()}
    given = {"corpus": corpus()} if "corpus" in inspect.signature(task.shown).parameters else {}
    note, headers, rows = task.shown(system.model, system.reader, first, test.labels[: 2 * SHOWN], **given)
    return {"note": note, "headers": headers, "rows": rows}


def _pictures(system: System, test: Examples) -> dict[str, Any]:
    """What a task draws of the first examples: how to read it, and PNG files in base64 with captions."""
    task = system.task
    if not hasattr(task, "pictures"):
        return {}
    first = {role: values[:SHOWN] for role, values in test.inputs.items()}
    note, shown = task.pictures(system.model, system.reader, first, test.labels[:SHOWN])
    return {"note": note, "items": [[base64.b64encode(png).decode(), caption] for png, caption in shown]}


def _facts(
    config: Config,
    branch: Manifest,
    others: Mapping[str, Registered],
    task: ModuleType,
    systems: dict[str, Columns],
    classes: dict[str, list[str]],
) -> dict[str, Any]:
    n = len(next(iter(systems["challenger"].values())))
    statistics = {name: _statistic(task, columns, classes[name]) for name, columns in systems.items()}
    compared = {name: one for name, one in statistics.items() if name != "anchor"}
    metrics, difference = estimates(config, compared, n, task.METRICS)
    serving = {
        alias: {"name": one.name, "version": one.version, "reference": one.reference}
        for alias, one in others.items()
    }
    anchored = None
    if "anchor" in others:
        same = "anchor" if "anchor" in statistics else "champion"
        anchored = gaps(
            statistics["challenger"], statistics[same], n, task.PRIMARY, task.METRICS[task.PRIMARY]
        )
    return {
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
        "champion": serving.get("champion"),
        "champion_metrics": metrics.get("champion"),
        "difference": difference or None,
        "anchor": serving.get("anchor"),
        "anchor_gaps": anchored,
        "test_set": branch.file("examples.parquet").sha256,
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
