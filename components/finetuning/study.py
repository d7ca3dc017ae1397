"""The study of one task: every label count and seed, from the trunk and from random weights."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.finetuning import labelled, tuning
from components.finetuning.config import MODES, Config
from components.finetuning.fitting import Fitter, Result, Spec, StudyInputs
from components.finetuning.labelled import Split
from components.finetuning.tuning import Rates
from components.finetuning.workers import Each, side_by_side
from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.core.settings import from_dict, to_dict
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft

TOLD = 0.01  # share of training records that the test split knows, from which on it is told


class Study:
    """Labelled data, and how the trunk reads them, of one task."""

    def __init__(self, config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
        self.config = config
        if config.modality != trunk.facts["modality"]:
            raise ConfigError(
                "the trunk reads another kind of data",
                where="modality",
                found=config.modality,
                expected=trunk.facts["modality"],
                fix="set the modality of the run to the trunk's",
            )
        self.task = tasks.load(config.kind)
        folder = context.store.open_folder(trunk, "model/")
        self.reader = modalities.load(config.modality, "labelled").Reader.open(folder, config.own)
        self.reader.check(context.store.resolve(trunk.key.inputs["tokens"]).facts, trunk.uri)
        self.data = labelled.frozen(config, self.task, self.reader)
        self._tell_overlap(context)
        self.labels = labelled.counts(config, len(self.data.train)) if config.train else [0]
        self.selected = (self.labels[-1], config.seeds[0])  # never chosen by looking at the test split
        self.inputs = self._inputs(folder, draft)

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

    def _tell_overlap(self, context: Context) -> None:
        """Before any training: what of the training records the test split knows, if it is more than 1 %."""
        counts = self.data.counts
        crossing = counts.get("train_also_in_test", 0) + counts.get("train_of_test_groups", 0)
        share = crossing / max(1, crossing + counts.get("train", 0))
        if share > TOLD:
            context.tell(
                f"{self.config.task}: {share:.1%} of the training records are not trained on: "
                f"{counts['train_also_in_test']:,} are in the test split, and "
                f"{counts['train_of_test_groups']:,} more are of a group of it"
            )

    def _inputs(self, folder: Path, draft: Draft) -> StudyInputs:
        """Encodes the examples that some run will see, and no others."""
        train, most = self.data.train, self.labels[-1]
        orders = {
            seed: np.argsort(labelled.subset_keys(train.ids, seed), kind="stable")[:most]
            for seed in self.config.seeds
        }
        used = np.unique(np.concatenate(list(orders.values())))
        subsets = {seed: np.searchsorted(used, order) for seed, order in orders.items()}
        seen = train.take(used)
        encoded, test = self._encode(seen), self._encode(self.data.test)
        options = from_dict(plugins.load(MODES, self.config.mode).Config, to_dict(self.config.adaptation))
        config = replace(self.config, adaptation=options)  # of a class that other processes can import
        keep = draft.folder / "model"
        return StudyInputs(config, folder, self.data.classes, encoded, test, seen.groups, subsets, keep)

    def _encode(self, split: Split) -> Any:
        return self.task.encode(self.reader, split.inputs, split.labels, self.data.classes)


def study(config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
    """Runs the whole study and fills `draft` with the branch and every run's outcomes."""
    one = Study(config, context, trunk, draft)
    trials = tuning.trials(config, one.labels)
    runs = len(one.labels) * len(config.seeds) * len(config.starts)
    with side_by_side(one.inputs.fitter, len(trials) + runs) as each:
        tried = [(result.spec, score) for result, score in _runs(one, each, trials)]
        rates, table = tuning.chosen(config, one.task, one.labels, tried)
        results = [result for result, _ in _runs(one, each, one.specs(rates))]
    one.reader.save(one.inputs.keep)
    draft.facts = {**_facts(one), "rates": _told(rates)}
    draft.write("tuning.jsonl", "".join(json.dumps(row) + "\n" for row in table), len(table))
    _write(draft, one, results)


def _runs(one: Study, each: Each, specs: list[Spec]) -> Iterator[tuple[Result, float]]:
    """Results and their primary metric, told as they come."""
    start = time.monotonic()
    for number, result in enumerate(each(Fitter.fit, specs), 1):
        value = tuning.score(one.task, result, one.data.classes)
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
        "modality": config.modality,
        "classes": one.data.classes,
        "counts": one.data.counts,
        "label_counts": one.labels,
        "seeds": list(config.seeds),
        "steps": config.steps if plugins.declared(MODES, config.mode).constants["STEPS"] else 0,
        "mode": config.mode,
        "rates_tried": list(config.learning_rates),
        "selected": {"labels": one.selected[0], "seed": one.selected[1]},
        "rejected": len(one.data.train.rejected),
    }


def _table(result: Result) -> pa.Table:
    size = len(next(iter(result.outcomes.values())))
    fixed = {name: pa.array([value] * size) for name, value in result.spec.tag.items()}
    return pa.table({**fixed, "example": np.arange(size), **result.outcomes})


def _write(draft: Draft, one: Study, results: list[Result]) -> None:
    test = one.data.test
    examples = {"example": range(len(test)), "id": test.ids, **test.inputs, "label": test.labels}
    rejected = pa.schema([(name, pa.string()) for name in ("location", "reason", "excerpt")])
    tables = {
        "examples.parquet": pa.table({name: pa.array(column) for name, column in examples.items()}),
        "outcomes.parquet": pa.concat_tables(_table(result) for result in results),
        "quarantine.parquet": pa.Table.from_pylist(one.data.train.rejected, rejected),
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
