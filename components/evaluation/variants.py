"""Compressed variants of a branch: made once, scored beside it on the same examples, timed in turns."""

from __future__ import annotations

import json
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.evaluation.answers import answered
from components.evaluation.config import COMPRESSIONS, Config
from components.evaluation.intervals import estimates
from components.evaluation.outcomes import Columns
from components.evaluation.shown import Examples
from components.evaluation.system import System
from components.lib import compressions, modalities, tasks
from components.lib.compressions import FILE, Full, Records
from components.lib.core import plugins
from components.lib.core.bootstrap import Floats, Statistic
from components.lib.core.settings import from_dict, to_dict
from components.lib.engine.threads import one_thread
from components.lib.registry import examples as stored
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft

VERSION = 1
STAGE = "compression"  # of variants in the store
SEEN = 8  # records that a variant answers before it counts as made
TIMED, BATCH = 100, 8  # records that are timed one at a time; records of a batch, as they are served


def make(config: Config, context: Context, branch: Manifest) -> dict[str, Manifest]:
    """An output of its own for each variant; one that cannot be had says why, in its facts."""
    found = {}
    for name in config.compress:
        says = plugins.declared(COMPRESSIONS, name)
        options = from_dict(says.config, config.compress_options.get(name, {})) if says.config else None
        lacking = compressions.lacking(says.constants)
        have = {} if lacking else compressions.versions(says.constants)
        told = {"name": name, "options": to_dict(options), "lacking": lacking, "libraries": have}
        key = Key(STAGE, VERSION, told, {"branch": branch.reference})
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            found[name] = context.produce(
                key, lambda draft: _build(context, branch, draft), Path(scratch) / f"{name}.json"
            )
        if why := found[name].facts["left_out"]:
            context.tell(f"{branch.facts['task']}: the variant '{name}' is left out: {why}")
    return found


def _build(context: Context, branch: Manifest, draft: Draft) -> None:
    """Fills a draft with model/, by the settings in its key."""
    told = draft.key.config
    shared = {name: branch.facts[name] for name in ("task", "kind", "modality", "classes")}
    draft.facts |= {**shared, "compression": told["name"], "left_out": ""}
    if told["lacking"]:
        fix = "a laptop gets it by `make setup`, an image by images/plugins.txt"
        draft.facts["left_out"] = f"{' and '.join(told['lacking'])} is not installed: {fix}"
        return
    folder = draft.folder / "model"
    full = _full(context, branch)
    folder.mkdir(parents=True)
    full.reader.save(folder)
    plugin = plugins.load(COMPRESSIONS, told["name"])
    options = from_dict(plugin.Config, told["options"])
    why = plugin.make(full, options, folder)
    if not why:
        (folder / FILE).write_text(json.dumps({"name": told["name"], "libraries": told["libraries"]}))
        why = _tried(full, folder)
    draft.facts["left_out"] = why
    if not why:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            draft.add(path.relative_to(draft.folder).as_posix())


def _full(context: Context, branch: Manifest) -> Full:
    """The branch with its training records."""
    folder = context.store.open_folder(branch, "model/")
    task = tasks.load(branch.facts["kind"])
    reader = modalities.load(branch.facts["modality"], "labelled").Reader.open(folder)
    learnt = _records(context, branch, "training.parquet", task)
    seen = _records(context, branch, "examples.parquet", task).first(SEEN)
    names = task.with_unknown(branch.facts["classes"], seen.labels) if branch.facts["classes"] else []
    return Full(task, folder, task.load(folder), reader, names, learnt, seen)


def _records(context: Context, branch: Manifest, name: str, task: Any) -> Records:
    roles = tasks.inputs_of(task.ROLES)
    if name not in branch.names():
        return Records({role: [] for role in roles}, [])
    table = pq.read_table(context.store.open(branch, name))
    return Records(
        {role: table.column(role).to_pylist() for role in roles}, table.column("label").to_pylist()
    )


def _tried(full: Full, folder: Path) -> str:
    """Why the task cannot work with the variant; empty if it scores and answers a few records."""
    try:
        model = compressions.load(full.task, folder)
        full.task.outcomes(model, full.encode(full.seen), full.names)
        full.task.answer(model, full.reader, full.seen.inputs)
    except Exception as error:
        traceback.print_exc()
        return f"the task cannot work with it: {error!r}"[:300]
    return ""


def judge(
    config: Config,
    context: Context,
    made: Mapping[str, Manifest],
    full: System,
    scored: Columns,
    test: Examples,
    draft: Draft,
) -> dict[str, Any]:
    """{"variants": facts of each}, {} if there are none; times and served answers go to the draft.

    Args:
        made: the variants, by name.
        full, scored: the branch and its outcomes.
    """
    if not made:
        return {}
    systems, facts = {"full": full}, dict[str, Any]()
    for name, manifest in made.items():
        known = manifest.facts
        facts[name] = {"reference": manifest.reference, "left_out": known["left_out"]}
        if known["left_out"]:
            continue
        one = System.load(context.store.open_folder(manifest, "model/"), known, test.labels)
        outcomes = one.score(test.inputs, test.labels, config.batch_size)
        pair = {"variant": _metrics(one, outcomes), "full": _metrics(full, scored)}
        metrics, difference, _ = estimates(config, pair, len(test.labels), one.task.METRICS)
        facts[name] |= {"metrics": metrics["variant"], "difference": difference}
        facts[name] |= {"megabytes": megabytes(manifest), "agreement": agreement(outcomes, scored)}
        systems[name] = one
        draft.write(f"{name}/{stored.FILE}", answered(one, known, test.inputs))
    draft.measured["variants"] = timed(systems, test)
    return {"variants": facts}


def _metrics(one: System, outcomes: Columns) -> Statistic:
    def metrics(weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = one.task.metrics(outcomes, weights, one.names)
        return found

    return metrics


def agreement(outcomes: Columns, full: Columns) -> float | None:
    """Share of examples whose predictions are those of the branch; None where there are no predictions."""
    if "prediction" not in outcomes or outcomes["prediction"].dtype.kind not in "iu":
        return None
    return round(float(np.mean(outcomes["prediction"] == full["prediction"])), 6)


def megabytes(manifest: Manifest) -> float:
    """Of the network: weights and graph, without the files of the reader."""
    weights = (".safetensors", ".onnx")
    return round(sum(file.bytes for file in manifest.files if file.name.endswith(weights)) / 1e6, 3)


def timed(systems: Mapping[str, System], test: Examples) -> dict[str, dict[str, float]]:
    """Milliseconds of an answer to one record and records a second in batches, in one thread, in turns."""
    count = min(TIMED, len(test.labels))
    took: dict[str, list[float]] = {name: [] for name in systems}
    spent = dict.fromkeys(systems, 0.0)
    batches = [slice(at, min(at + BATCH, count)) for at in range(0, count, BATCH)]
    with one_thread():
        for warm, places in [(True, slice(0, 1))] + [(False, slice(at, at + 1)) for at in range(count)]:
            for name, one in systems.items():
                seconds = _answer(one, test, places)
                took[name] += [] if warm else [seconds]
        for places in batches:
            for name, one in systems.items():
                spent[name] += _answer(one, test, places)
    return {
        name: {
            "p50": float(1000 * np.median(took[name])),
            "p99": float(1000 * np.quantile(took[name], 0.99)),
            "records_per_second": count / spent[name],
        }
        for name in systems
    }


def _answer(one: System, test: Examples, places: slice) -> float:
    given = {role: values[places] for role, values in test.inputs.items()}
    begun = time.perf_counter()
    one.task.answer(one.model, one.reader, given)
    return time.perf_counter() - begun
