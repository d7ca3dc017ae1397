"""Labelled records: read, checked, split so that no test example is trained on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.finetuning.config import Config, Labelled
from components.finetuning.modalities import Inputs
from components.lib.core.errors import DataError, MissingError
from components.lib.data.formats import required
from components.lib.data.sources import Record, Rejected, chosen, read_records
from components.lib.engine.randomness import hashed

EXCERPT = 200  # characters of a rejected record that are kept


@dataclass
class Split:
    """Inputs, labels and identities of records, and what was rejected."""

    inputs: list[Any] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)

    def take(self, chosen: Any) -> Split:
        """The records at these places, in this order."""
        return Split(*([column[i] for i in chosen] for column in (self.inputs, self.labels, self.ids)))

    def reject(self, where: str, reason: str, excerpt: str) -> None:
        """Notes a record that cannot be used."""
        self.rejected.append({"location": where, "reason": reason, "excerpt": excerpt})


def read(source: Labelled, task: Any, inputs: Inputs, config: Config, where: str) -> Split:
    """Reads and checks every record.

    Raises:
        MissingError: if the records lack the named fields; it lists those that they have.
        DataError: if more than `reject_budget` of them cannot be used, or none can.
    """
    split = Split()
    opened = read_records(
        source.source, format=source.format, options=source.format_options, modality=config.modality
    )
    with closing(opened) as records:
        for record in records:
            if isinstance(record, Rejected):
                split.reject(record.where, record.reason, record.excerpt)
            elif chosen(record.where, source.share):
                _add(split, record, source, task, inputs, where)
    total = len(split.ids) + len(split.rejected)
    if not total:
        fix = f"add records, or raise the share, which is {source.share:g}"
        raise DataError("there are no labelled records", where=f"{where} {source.source}", fix=fix)
    if not split.ids or len(split.rejected) > config.reject_budget * total:
        first = split.rejected[0]
        raise DataError(
            f"{len(split.rejected)} of {total} labelled records cannot be used", where=first["location"],
            found=first["reason"], expected=f"at most {config.reject_budget:.1%}",
            fix="mend them or raise reject_budget",
        )  # fmt: skip
    return split


def _add(split: Split, record: Record, source: Labelled, task: Any, inputs: Inputs, where: str) -> None:
    value: Any = ""
    try:
        value = inputs.value(record, source)
        value, label = task.parse(value, required(record, source.label))
        name = inputs.identity(value)
    except MissingError as error:
        error.where = f"{where} {record.where}"
        raise
    except DataError as error:
        split.reject(record.where, f"{error.what}: {error.found}", str(value)[:EXCERPT])
    else:
        split.inputs.append(value)
        split.labels.append(label)
        split.ids.append(name)


def frozen(config: Config, task: Any, inputs: Inputs) -> tuple[Split, Split, list[str], dict[str, int]]:
    """Train split, frozen test split, classes and what was left out.

    Raises:
        DataError: if there are fewer than two classes, or a class of the test split is never trained on.
    """
    where = f"tasks.{config.task}"
    train = read(config.train, task, inputs, config, f"{where}.train")
    test = read(config.test, task, inputs, config, f"{where}.test")
    order = np.argsort(subset_keys(test.ids, 0), kind="stable")
    test_kept = test.take(order[: config.test_examples or len(order)])
    seen = set(test.ids)
    clean = train.take([place for place, name in enumerate(train.ids) if name not in seen])
    names, tested = task.classes(clean.labels), task.classes(test_kept.labels)
    if len(names) < (fewest := getattr(task, "FEWEST_CLASSES", 2)):
        raise DataError(
            "there are too few classes", where=f"{where}.train", found=names, expected=f"at least {fewest}"
        )
    unknown = sorted(set(tested) - set(names))
    if unknown:
        fix = "add training examples of these classes or drop them from the test records"
        raise DataError("classes of the test split are never trained on", where=where, found=unknown, fix=fix)
    counts = {
        "train": len(clean.ids), "test": len(test_kept.ids), "test_available": len(test.ids),
        "train_also_in_test": len(train.ids) - len(clean.ids),
    }  # fmt: skip
    clean.rejected = train.rejected + test.rejected
    return clean, test_kept, names, counts


def subset_keys(ids: list[str], seed: int) -> Any:
    """(n,) numbers whose order picks the labelled subsets of a seed: each within the next larger one."""
    values = np.array([int(name[:15], 16) for name in ids], dtype=np.int64)
    return hashed(seed, "labels", values)


def counts(config: Config, available: int) -> list[int]:
    """The label counts as whole numbers of examples, rising; what exceeds the data is cut to it."""
    wanted = [round(value * available) if value <= 1 else round(value) for value in config.label_counts]
    return sorted({min(max(count, 1), available) for count in wanted})
