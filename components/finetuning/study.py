"""The study of one task: every label count and seed, from the trunk and from random weights."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.finetuning import labelled, modalities, tuning
from components.finetuning.config import Config
from components.finetuning.fitting import Fitter, Ground, Result, Spec
from components.finetuning.labelled import Split
from components.finetuning.modalities import Inputs
from components.finetuning.tuning import Rates
from components.finetuning.workers import Each, side_by_side
from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft


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

    def specs(self, rates: Rates) -> list[Spec]:
        """All runs; the branch is the selected one that starts from the trunk."""
        runs = product(self.labels, self.config.seeds, self.config.starts)
        return [
            Spec(
                start,
                count,
                seed,
                rates[start, count],
                kept=(start, (count, seed)) == ("trunk", self.selected),
            )
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
    trials = tuning.trials(config, one.labels)
    runs = len(one.labels) * len(config.seeds) * len(config.starts)
    with side_by_side(one.ground.fitter, len(trials) + runs) as each:
        tried = [(result.spec, score) for result, score in _runs(one, each, trials)]
        rates, table = tuning.chosen(config, one.labels, tried)
        results = [result for result, _ in _runs(one, each, one.specs(rates))]
    one.inputs.save(one.ground.keep)
    draft.facts = {**_facts(one), "rates": _told(rates)}
    draft.write("tuning.jsonl", "".join(json.dumps(row) + "\n" for row in table), len(table))
    _write(draft, one, results)


def _runs(one: Study, each: Each, specs: list[Spec]) -> Iterator[tuple[Result, float]]:
    """Results and their primary metric, told as they come."""
    start = time.monotonic()
    for number, result in enumerate(each(Fitter.fit, specs), 1):
        value = tuning.score(one.task, result, one.classes)
        left = (time.monotonic() - start) / number * (len(specs) - number)
        _show(one, result.spec, value, f"{number}/{len(specs)}", int(left))
        yield result, value


def _show(one: Study, spec: Spec, value: float, place: str, left: int) -> None:
    what = f"trial {place} of rate {spec.rate:g}" if spec.trial else f"run {place}"
    print(
        f"{one.config.task} {what}:  {spec.start:>6}, {spec.labels} labels, seed {spec.seed}: "
        f"{one.task.PRIMARY} {value:.3f}  {left // 60}:{left % 60:02d} to go",
        flush=True,
    )


def _told(rates: Rates) -> dict[str, list[list[float]]]:
    """Start -> [labels, rate] as JSON has them."""
    return {
        start: [[count, rate] for (other, count), rate in sorted(rates.items()) if other == start]
        for start in sorted({start for start, _ in rates})
    }


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
        "rates_tried": list(config.learning_rates),
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
