"""Labelled records: read, checked, split so that no test example is trained on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.finetuning.config import Config, Labelled
from components.lib.config import did_you_mean
from components.lib.engine.randomness import hashed
from components.lib.errors import DataError, MissingError
from components.lib.sources import Rejected, read_records

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


def read(source: Labelled, task: Any, budget: float, where: str) -> Split:
    """Reads and checks every record.

    Raises:
        MissingError: if the records lack the named fields; it lists those that they have.
        DataError: if more than `budget` of them cannot be used, or none can.
    """
    split = Split()
    for record in read_records(source.source, format=source.format):
        if isinstance(record, Rejected):
            split.rejected.append(
                {"location": record.where, "reason": record.reason, "excerpt": record.excerpt}
            )
            continue
        for name in (source.text, source.label):
            if name not in record.fields:
                raise MissingError(
                    f"the records have no field '{name}'", where=f"{where} {record.where}",
                    fix=did_you_mean(name, sorted(record.fields)),
                )  # fmt: skip
        value, label = record.fields[source.text], record.fields[source.label]
        try:
            value, label = task.parse(value, label)
        except DataError as error:
            reason = f"{error.what}: {error.found}"
            excerpt = str(value)[:EXCERPT]
            split.rejected.append({"location": record.where, "reason": reason, "excerpt": excerpt})
            continue
        split.inputs.append(value)
        split.labels.append(label)
        split.ids.append(hashlib.sha256(repr(value).encode()).hexdigest()[:32])
    total = len(split.ids) + len(split.rejected)
    if not split.ids or len(split.rejected) > budget * total:
        first = split.rejected[0] if split.rejected else {"location": source.source, "reason": "no records"}
        raise DataError(
            f"{len(split.rejected)} of {total} labelled records cannot be used", where=first["location"],
            found=first["reason"], expected=f"at most {budget:.1%}", fix="mend them or raise reject_budget",
        )  # fmt: skip
    return split


def frozen(config: Config, task: Any) -> tuple[Split, Split, list[str], dict[str, int]]:
    """Train split, frozen test split, classes and what was left out.

    Raises:
        DataError: if there are fewer than two classes, or a class of the test split is never trained on.
    """
    where = f"tasks.{config.task}"
    train = read(config.train, task, config.reject_budget, f"{where}.train")
    test = read(config.test, task, config.reject_budget, f"{where}.test")
    order = np.argsort(subset_keys(test.ids, 0), kind="stable")
    test_kept = test.take(order[: config.test_examples or len(order)])
    seen = set(test.ids)
    clean = train.take([place for place, name in enumerate(train.ids) if name not in seen])
    names, tested = task.classes(clean.labels), task.classes(test_kept.labels)
    if len(names) < 2:
        raise DataError(
            "there is only one class", where=f"{where}.train", found=names, expected="at least two"
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
