"""The study of one task: every label count and seed, from the trunk and from random weights."""

from __future__ import annotations

import json
import time
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.finetuning import labelled, modalities
from components.finetuning.config import Config
from components.finetuning.fitting import Fitter, Ground, Result, Spec
from components.finetuning.labelled import Split
from components.finetuning.modalities import Inputs
from components.finetuning.workers import side_by_side
from components.lib import plugins
from components.lib.artifacts import Manifest
from components.lib.errors import ConfigError
from components.lib.stage import Context
from components.lib.store import Draft


class Study:
    """Labelled data, and how the trunk reads them, of one task."""

    def __init__(self, config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
        self.config, self.modality = config, str(trunk.facts["modality"])
        if config.modality != self.modality:
            found, expected = config.modality, self.modality
            fix = "set the modality of the run to the trunk's"
            raise ConfigError(
                "the trunk reads another kind of data",
                where="modality",
                found=found,
                expected=expected,
                fix=fix,
            )
        self.task = plugins.load("components.lib.tasks", config.kind)
        self.inputs: Inputs = modalities.load(self.modality).Inputs(config, context.store, trunk)
        self.train, self.test, self.classes, self.counts = labelled.frozen(config, self.task, self.inputs)
        self.labels = labelled.counts(config, len(self.train.ids))
        self.selected = (self.labels[-1], config.seeds[0])  # never chosen by looking at the test split
        self.ground = self._ground(context.store.open_folder(trunk, "model/"), draft)

    def specs(self) -> list[Spec]:
        """All runs; the branch is the selected one that starts from the trunk."""
        runs = product(self.labels, self.config.seeds, self.config.starts)
        return [
            Spec(start, count, seed, kept=(start, (count, seed)) == ("trunk", self.selected))
            for count, seed, start in runs
        ]

    def _ground(self, folder: Any, draft: Draft) -> Ground:
        """Encodes the examples that some run will see, and no others."""
        orders = {
            seed: np.argsort(labelled.subset_keys(self.train.ids, seed), kind="stable")[: self.labels[-1]]
            for seed in self.config.seeds
        }
        used = np.unique(np.concatenate(list(orders.values())))
        subsets = {seed: np.searchsorted(used, order) for seed, order in orders.items()}
        train, test = self._encode(self.train.take(used)), self._encode(self.test)
        keep = draft.folder / "model"
        return Ground(self.config, self.modality, folder, self.classes, train, test, subsets, keep)

    def _encode(self, split: Split) -> Any:
        return self.inputs.encode(self.task, split.inputs, split.labels, self.classes)


def study(config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
    """Runs the whole study and fills `draft` with the branch and every run's outcomes."""
    one = Study(config, context, trunk, draft)
    specs, start = one.specs(), time.monotonic()
    results = []
    for result in side_by_side(one.ground.fitter, specs, Fitter.fit):
        results.append(result)
        _show(one, result, len(results), len(specs), time.monotonic() - start)
    one.inputs.save(one.ground.keep)
    draft.facts = _facts(one)
    _write(draft, one, results)


def _show(one: Study, result: Result, number: int, total: int, seconds: float) -> None:
    ones = np.ones((1, len(one.test.ids)))
    primary, spec = one.task.PRIMARY, result.spec
    value = one.task.metrics(result.outcomes, ones, one.classes)[primary][0]
    left = int(seconds / number * (total - number))
    print(
        f"{one.config.task} {number}/{total}  {spec.start:>6}, {spec.labels} labels, seed {spec.seed}: "
        f"{primary} {value:.3f}  {left // 60}:{left % 60:02d} to go",
        flush=True,
    )


def _facts(one: Study) -> dict[str, Any]:
    config = one.config
    return {
        "task": config.task,
        "kind": config.kind,
        "modality": one.modality,
        "classes": one.classes,
        "counts": one.counts,
        "label_counts": one.labels,
        "seeds": list(config.seeds),
        "steps": 0 if config.mode == "knn" else config.steps,
        "mode": config.mode,
        "selected": {"labels": one.selected[0], "seed": one.selected[1]},
        "rejected": len(one.train.rejected),
    }


def _table(result: Result) -> pa.Table:
    size = len(next(iter(result.outcomes.values())))
    fixed = {name: pa.array([value] * size) for name, value in result.spec.tag.items()}
    return pa.table({**fixed, "example": np.arange(size), **result.outcomes})


def _write(draft: Draft, one: Study, results: list[Result]) -> None:
    column = one.inputs.column(one.test.inputs)
    examples = {"example": range(len(one.test.ids)), "id": one.test.ids, column: one.test.inputs}
    rejected = pa.schema([(name, pa.string()) for name in ("location", "reason", "excerpt")])
    tables = {
        "examples.parquet": pa.table(
            {**{k: pa.array(v) for k, v in examples.items()}, "label": one.test.labels}
        ),
        "outcomes.parquet": pa.concat_tables(_table(result) for result in results),
        "quarantine.parquet": pa.Table.from_pylist(one.train.rejected, rejected),
    }
    for name, table in tables.items():
        pq.write_table(table, draft.folder / name, compression="zstd", write_page_checksum=True)
        draft.add(name, table.num_rows)
    rows = [
        {**result.spec.tag, "step": int(row["step"]), "loss": row["loss"]}
        for result in results
        for row in result.history
    ]
    draft.write("history.jsonl", "".join(json.dumps(row) + "\n" for row in rows), len(rows))
    for path in sorted((draft.folder / "model").rglob("*")):
        draft.add(path.relative_to(draft.folder).as_posix())
