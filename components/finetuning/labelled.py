"""Labelled records: read, checked, split so that nothing of the test split is trained on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.finetuning.config import Config, Labelled
from components.lib import modalities
from components.lib.core.errors import DataError, MissingError
from components.lib.data.formats import EXCERPT, Layout, Record, Rejected
from components.lib.data.groups import fields_of, group_of
from components.lib.data.sources import chosen, read_records
from components.lib.engine.randomness import hashed
from components.lib.tasks import inputs_of, target_of


@dataclass
class Split:
    """Examples, and what was rejected.

    Attributes:
        inputs: role -> values.
        ids: 32 hex digits of each example's inputs.
        groups: 32 hex digits of what each belongs to: of its group field, or its id without one.
    """

    inputs: dict[str, list[Any]]
    labels: list[Any] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Any) -> Split:
        """The examples at these places, in this order."""
        inputs = {role: [values[i] for i in places] for role, values in self.inputs.items()}
        return Split(
            inputs, *([column[i] for i in places] for column in (self.labels, self.ids, self.groups))
        )


@dataclass(frozen=True)
class Frozen:
    """The data of a study.

    Attributes:
        counts: examples by what became of them.
    """

    train: Split
    test: Split
    classes: list[str]
    counts: dict[str, int]


def read(source: Labelled, task: Any, reader: Any, config: Config, where: str) -> Split:
    """Reads and checks every record.

    Raises:
        MissingError: if the records lack the named fields; it lists those that they have.
        DataError: if more than `reject_budget` of them cannot be used, or none can.
    """
    split = Split({role: [] for role in inputs_of(task.ROLES)})
    reads = modalities.load(config.modality).READS
    asked = fields_of(source.fields, source.group)
    layout = Layout(source.format, source.format_options, source.encoding, reads, asked)
    with closing(read_records(source.source, layout)) as records:
        for record in records:
            if isinstance(record, Rejected):
                _reject(split, record.where, record.reason, record.excerpt)
            elif chosen(record.where, source.share):
                _add(split, record, source, task, reader, where)
    broken = len(split.rejected)
    total = len(split) + broken
    if not total:
        fix = f"add records, or raise the share, which is {source.share:g}"
        raise DataError("there are no labelled records", where=f"{where} {source.source}", fix=fix)
    if not len(split) or broken > config.reject_budget * total:
        first = split.rejected[0]
        raise DataError(
            f"{broken} of {total} labelled records cannot be used",
            where=first["location"],
            found=first["reason"],
            expected=f"at most {config.reject_budget:.1%}",
            fix="mend them or raise reject_budget",
        )
    return split


def _add(split: Split, record: Record, source: Labelled, task: Any, reader: Any, where: str) -> None:
    shown = ""
    try:
        target = target_of(task.ROLES)
        values = {target: record.required(source.fields[target])}
        if source.group:
            record.required(source.group)
        group = group_of(record, source.group, "")
        for role in inputs_of(task.ROLES):
            name = source.fields[role]
            shown = str(record.fields.get(name, record.fields))
            values[role] = reader.value(record, name)
        inputs, label = task.parse(values)
        identity = reader.identity(inputs)
    except MissingError as error:
        error.where = f"{where} {record.where}"
        raise
    except DataError as error:
        _reject(split, record.where, f"{error.what}: {error.found}", shown)
        return
    if isinstance(group, Rejected):
        _reject(split, group.where, group.reason, group.excerpt)
        return
    for role, value in inputs.items():
        split.inputs[role].append(value)
    split.labels.append(label)
    split.ids.append(identity)
    split.groups.append(group.hex() or identity)


def _reject(split: Split, where: str, reason: str, excerpt: str) -> None:
    split.rejected.append({"location": where, "reason": reason, "excerpt": excerpt[:EXCERPT]})


def frozen(config: Config, task: Any, reader: Any) -> Frozen:
    """Train split without what the test split knows, frozen test split, and classes.

    An example is not trained on if its inputs, or its group, are in the test split.

    Raises:
        DataError: if there are too few classes, or a class of the test split is never trained on.
    """
    where = f"tasks.{config.task}"
    test = read(config.test, task, reader, config, f"{where}.test")
    order = np.argsort(subset_keys(test.ids, 0), kind="stable")
    kept = test.take(order[: config.test_examples or len(order)])
    counts = {"test": len(kept), "test_available": len(test)}
    if config.train is None:  # nothing is learnt: the labels of the test split name the classes
        return Frozen(Split({role: [] for role in kept.inputs}), kept, task.classes(kept.labels), counts)
    train = read(config.train, task, reader, config, f"{where}.train")
    ids, groups = set(test.ids), set(test.groups)
    clean = [place for place, name in enumerate(train.ids) if name not in ids]
    apart = train.take([place for place in clean if train.groups[place] not in groups])
    counts |= {
        "train": len(apart),
        "train_also_in_test": len(train) - len(clean),
        "train_of_test_groups": len(clean) - len(apart),
    }
    apart.rejected = train.rejected + test.rejected
    return Frozen(apart, kept, _classes(task, apart, kept, where), counts)


def _classes(task: Any, train: Split, test: Split, where: str) -> list[str]:
    if not len(train):
        what = "every training example, or its group, is in the test split"
        raise DataError(what, where=where, fix="name other records, or another group")
    names = list(task.classes(train.labels))
    if len(names) < task.FEWEST:
        expected = f"at least {task.FEWEST}"
        raise DataError("there are too few classes", where=f"{where}.train", found=names, expected=expected)
    unknown = sorted(set(task.classes(test.labels)) - set(names))
    if unknown:
        fix = "add training examples of these classes or drop them from the test records"
        raise DataError("classes of the test split are never trained on", where=where, found=unknown, fix=fix)
    return names


def subset_keys(ids: list[str], seed: int) -> Any:
    """(n,) numbers whose order picks the labelled subsets of a seed: each within the next larger one."""
    values = np.array([int(name[:15], 16) for name in ids], dtype=np.int64)
    return hashed(seed, "labels", values)


def counts(config: Config, available: int) -> list[int]:
    """The label counts as whole numbers of examples, rising; what exceeds the data is cut to it."""
    wanted = [round(value * available) if value <= 1 else round(value) for value in config.label_counts]
    return sorted({min(max(count, 1), available) for count in wanted})
