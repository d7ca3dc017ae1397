"""The study of one task: every label count and seed, from the trunk and from random weights."""

from __future__ import annotations

import json
import time
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.finetuning import labelled
from components.finetuning.config import Config
from components.lib import classifiers, plugins
from components.lib.artifacts import Manifest
from components.lib.engine.distributed import World
from components.lib.engine.loop import Plan, Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.precision import resolve
from components.lib.engine.trainable import WeightedSum
from components.lib.examples import Examples
from components.lib.stage import Context
from components.lib.store import Draft
from components.lib.tokens import check_probes


class Study:
    """What all runs of a task share: data, tokenizer, trunk, budget."""

    def __init__(self, config: Config, trunk: Any, tokenizer: Any) -> None:
        self.config, self.trunk, self.tokenizer = config, trunk, tokenizer
        self.task = plugins.load("components.lib.tasks", config.kind)
        self.train, self.test, self.classes, self.counts = labelled.frozen(config, self.task)
        self.labels = labelled.counts(config, len(self.train.ids))
        self.world = World(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        self.examples = {"train": self._encode(self.train), "test": self._encode(self.test)}

    def fit(self, start: str, count: int, seed: int) -> tuple[Any, list[dict[str, float]]]:
        """One run: the classifier after training on `count` labels, and its loss history."""
        torch.manual_seed(seed)
        model = self.task.model(self.trunk.model.config, self.classes)
        if start == "trunk":
            classifiers.start_from(model, self.trunk.model)
        classifiers.freeze(model, self.config.unfreeze)
        chosen = np.argsort(labelled.subset_keys(self.train.ids, seed), kind="stable")[:count]
        order = Order(count, self.config.batch, seed)
        term = WeightedSum({self.config.kind: self.task.Task(model)}, {self.config.kind: 1.0})
        run = Run(term, self.examples["train"].subset(chosen), order, self._plan(), self.world)
        return model, run.train()

    def _plan(self) -> Plan:
        config = self.config
        schedule = Schedule("linear", config.learning_rate, config.steps, config.warmup)
        return Plan(
            schedule,
            precision=resolve(config.precision, self.world.device),
            weight_decay=config.weight_decay,
            report_every=max(1, config.steps // 20),
            quiet=True,
        )

    def _encode(self, split: labelled.Split) -> Examples:
        arguments = (self.tokenizer, split.inputs, split.labels, self.classes, self.config.max_length)
        examples: Examples = self.task.encode(*arguments)
        return examples


def study(config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
    """Runs the whole study and fills `draft` with the branch and every run's outcomes."""
    from transformers import AutoTokenizer

    folder = context.store.open_folder(trunk, "model/")
    modality = plugins.load("components.lib.modalities", trunk.facts["modality"])
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, model_max_length=config.max_length
    )
    check_probes(tokenizer, context.store.resolve(trunk.key.inputs["tokens"]).facts)
    trunk_model = modality.load(folder)
    all_runs = Study(config, trunk_model, tokenizer)
    before = classifiers.fingerprint(trunk_model.model)
    selected = (all_runs.labels[-1], config.seeds[0])  # never chosen by looking at the test split
    outcomes, history, start = [], [], time.monotonic()
    runs = list(product(all_runs.labels, config.seeds, config.starts))
    for number, (count, seed, origin) in enumerate(runs, start=1):
        model, rows = all_runs.fit(origin, count, seed)
        columns = all_runs.task.outcomes(model, all_runs.examples["test"], all_runs.classes)
        tag = {"start": origin, "labels": count, "seed": seed}
        outcomes.append(_table(tag, columns))
        history += [{**tag, "step": int(row["step"]), "loss": row["loss"]} for row in rows]
        if origin == "trunk" and (count, seed) == selected:
            model.save_pretrained(draft.folder / "model")
            tokenizer.save_pretrained(draft.folder / "model")
        _show(config, all_runs, number, len(runs), tag, columns, time.monotonic() - start)
    draft.facts = _facts(all_runs, selected, trunk)
    draft.facts["trunk_unmoved"] = before == classifiers.fingerprint(trunk_model.model)
    _write(draft, all_runs, pa.concat_tables(outcomes), history)


def _table(tag: dict[str, Any], columns: dict[str, Any]) -> pa.Table:
    size = len(next(iter(columns.values())))
    fixed = {name: pa.array([value] * size) for name, value in tag.items()}
    return pa.table({**fixed, "example": np.arange(size), **columns})


def _show(
    config: Config, runs: Study, number: int, total: int, tag: dict[str, Any], columns: Any, seconds: float
) -> None:
    ones = np.ones((1, len(runs.test.ids)))
    primary = runs.task.PRIMARY
    value = runs.task.metrics(columns, ones, runs.classes)[primary][0]
    left = int(seconds / number * (total - number))
    print(
        f"{config.task} {number}/{total}  {tag['start']:>6}, {tag['labels']} labels, seed {tag['seed']}: "
        f"{primary} {value:.3f}  {left // 60}:{left % 60:02d} to go",
        flush=True,
    )


def _facts(runs: Study, selected: tuple[int, int], trunk: Manifest) -> dict[str, Any]:
    config = runs.config
    return {
        "task": config.task,
        "kind": config.kind,
        "modality": trunk.facts["modality"],
        "classes": runs.classes,
        "counts": runs.counts,
        "label_counts": runs.labels,
        "seeds": list(config.seeds),
        "steps": config.steps,
        "mode": {-1: "full", 0: "frozen"}.get(config.unfreeze, "partial"),
        "selected": {"labels": selected[0], "seed": selected[1]},
        "rejected": len(runs.train.rejected),
    }


def _write(draft: Draft, runs: Study, outcomes: pa.Table, history: list[dict[str, Any]]) -> None:
    column = "text" if isinstance(runs.test.inputs[0], str) else "tokens"
    examples = {"example": range(len(runs.test.ids)), "id": runs.test.ids, column: runs.test.inputs}
    tables = {
        "examples.parquet": pa.table(
            {**{k: pa.array(v) for k, v in examples.items()}, "label": runs.test.labels}
        ),
        "outcomes.parquet": outcomes,
        "quarantine.parquet": pa.Table.from_pylist(
            runs.train.rejected, pa.schema([(n, pa.string()) for n in ("location", "reason", "excerpt")])
        ),
    }
    for name, table in tables.items():
        pq.write_table(table, draft.folder / name, compression="zstd", write_page_checksum=True)
        draft.add(name, table.num_rows)
    draft.write("history.jsonl", "".join(json.dumps(row) + "\n" for row in history), len(history))
    for path in sorted((draft.folder / "model").rglob("*")):
        draft.add(path.relative_to(draft.folder).as_posix())
