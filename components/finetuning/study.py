"""The study of one task: every label count and seed from every start, on the same frozen examples."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from components.finetuning import labelled, stopping, tables, tuning
from components.finetuning.config import MODES, Config
from components.finetuning.fitting import Fitter, Result, Spec, StudyInputs
from components.finetuning.materials import Materials
from components.finetuning.served import RECORDS
from components.finetuning.tuning import Choices
from components.finetuning.workers import Each, side_by_side
from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.core.settings import from_dict, to_dict
from components.lib.starts import Origin
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft

TOLD = 0.01  # share of training records that the test split knows, from which on it is told


class Study:
    """Labelled data of one task, and how each start reads them."""

    def __init__(self, config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
        self.config = config
        whole = trunk.facts["modality"]
        if config.modality not in (whole, *modalities.parts(whole)):
            raise ConfigError(
                "the trunk reads another kind of data",
                where="modality",
                found=config.modality,
                expected=whole,
                fix="set the modality of the run to the trunk's",
            )
        self.task = tasks.load(config.kind)
        folder = context.store.open_folder(trunk, "model/") / modalities.folder(whole, config.modality)
        tokens = modalities.tokens(context.store.resolve(trunk.key.inputs["tokens"]), config.modality)
        self.reader = modalities.load(config.modality, "labelled").Reader.open(folder, config.own)
        self.reader.check(tokens.facts, trunk.uri)
        self.data = labelled.frozen(config, self.task, self.reader)
        if config.train is not None:
            told = labelled.counts_told(config, len(self.data.train))
            self.data.notices.extend(f"tasks.{config.task}: {notice}" for notice in told)
        for notice in self.data.notices:
            context.tell(notice)
        self._tell_overlap(context)
        self.labels = labelled.counts(config, len(self.data.train)) if config.train else [0]
        self.selected = (self.labels[-1], config.seeds[0])  # never chosen by looking at the test split
        self.inputs = self._inputs(
            Origin(context.store, trunk, folder, config.modality, config.kind, config.own), draft
        )
        self._tell_cut(context)
        for name, why in self.materials.left_out.items():
            context.tell(f"{config.task}: the start '{name}' is left out: {why}")

    def specs(self, choices: Choices) -> list[Spec]:
        """All runs; the branch is the selected one that starts from the trunk."""
        return [
            Spec(
                start,
                count,
                seed,
                choices[start, count].rate,
                choices[start, count].steps,
                kept=start == "trunk" and (count, seed) == self.selected,
                timed=(count, seed) == self.selected,
                temperature=choices[start, count].temperature,
            )
            for count, seed, start in product(self.labels, self.config.seeds, self.inputs.starts)
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

    def _tell_cut(self, context: Context) -> None:
        """How many examples are longer than what the branch reads of them."""
        material = self.materials.starts["trunk"]
        for split, samples in (("train", material.train), ("test", material.test)):
            if many := sum(getattr(samples, "cut", ())):
                where, what = f"tasks.{self.config.task}.{split}", "are longer than what is read of them"
                notice = f"{where}: {many:,} of {len(samples):,} examples {what}, max_length"
                self.data.notices.append(notice)
                context.tell(notice)

    def _inputs(self, origin: Origin, draft: Draft) -> StudyInputs:
        """Encodes the examples that some run will see, and no others."""
        train, most = self.data.train, self.labels[-1]
        orders = {
            seed: np.argsort(labelled.subset_keys(train.ids, seed), kind="stable")[:most]
            for seed in self.config.seeds
        }
        used = np.unique(np.concatenate(list(orders.values())))
        subsets = {seed: np.searchsorted(used, order) for seed, order in orders.items()}
        seen = train.take(used)
        self.materials = Materials(self.config, origin, self.reader, self.data, seen)
        options = from_dict(plugins.load(MODES, self.config.mode).Config, to_dict(self.config.adaptation))
        config = replace(self.config, adaptation=options, labels=None)  # of classes that others can import
        records = {role: values[:RECORDS] for role, values in self.data.test.inputs.items()}
        keep, starts = draft.folder / "model", self.materials.starts
        return StudyInputs(config, starts, self.data.classes, seen.groups, subsets, records, keep)


def study(config: Config, context: Context, trunk: Manifest, draft: Draft) -> None:
    """Runs the whole study and fills `draft` with the branch and every run's outcomes."""
    one = Study(config, context, trunk, draft)
    starts = one.inputs.starts
    trials = tuning.trials(config, starts, one.labels)
    runs = len(one.labels) * len(config.seeds) * len(starts)
    with side_by_side(one.inputs.fitter, len(trials) + runs) as each:
        tried = list(_runs(one, each, trials))
        curves = [(result.spec, result.points) for result in tried]
        choices, table = tuning.chosen(config, one.task, starts, one.labels, curves)
        results = list(_runs(one, each, one.specs(choices)))
    one.reader.save(one.inputs.keep)
    branch = choices["trunk", one.selected[0]]
    draft.facts = {**_facts(one), "rates": _told(choices), "starts": tables.sizes(results)}
    draft.facts["temperature"] = branch.temperature if hasattr(one.task, "decided") else None
    draft.measured |= tables.measured(tried, results, starts)
    tables.lines(draft, "tuning.jsonl", table)
    tables.write(draft, one.data, results, tables.runs(results, choices))
    for path in sorted(path for path in (draft.folder / "model").rglob("*") if path.is_file()):
        draft.add(path.relative_to(draft.folder).as_posix())


def _runs(one: Study, each: Each, specs: list[Spec]) -> Iterator[Result]:
    """Results, told as they come."""
    start = time.monotonic()
    for number, result in enumerate(each(Fitter.fit, specs), 1):
        left = (time.monotonic() - start) / number * (len(specs) - number)
        _show(one, result, f"{number}/{len(specs)}", int(left))
        yield result


def _show(one: Study, result: Result, place: str, left: int) -> None:
    spec = result.spec
    if spec.trial:
        rate = "" if spec.rate is None else f" of rate {spec.rate:g}"
        what, value = f"trial {place}{rate}", result.points[-1].score
    else:
        what, value = f"run {place}", stopping.primary(one.task, result.outcomes, one.data.classes)
    print(
        f"{one.config.task} {what}:  {spec.start:>6}, {spec.labels} labels, seed {spec.seed}: "
        f"{one.task.PRIMARY} {value:.3f}  {left // 60}:{left % 60:02d} to go",
        flush=True,
    )


def _told(choices: Choices) -> dict[str, list[list[float]]]:
    """Start -> [labels, rate], of those that are trained by steps, as JSON has them."""
    found = sorted(
        (start, count, choice.rate) for (start, count), choice in choices.items() if choice.rate is not None
    )
    return {
        name: [[count, rate] for start, count, rate in found if start == name]
        for name in sorted({start for start, *_ in found})
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
        "rejected": len(one.data.train.rejected["broken"]),
        "notices": one.data.notices,
        "starts_left_out": one.materials.left_out,
    }
