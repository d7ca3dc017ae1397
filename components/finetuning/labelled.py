"""Labelled records: read, checked, split so that nothing of the test split is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.finetuning import slices
from components.finetuning.config import Config, Labelled
from components.lib import modalities
from components.lib.core.errors import DataError, MissingError
from components.lib.data import classes
from components.lib.data.classes import Unlabelled
from components.lib.data.formats import EXCERPT, Account, Layout, Record, Rejected
from components.lib.data.groups import fields_of, group_of
from components.lib.data.listing import PassedOver
from components.lib.data.sources import chosen, read_records
from components.lib.engine.randomness import hashed
from components.lib.tasks import LENGTH, Reading, inputs_of, target_of

KINDS = ("broken", "unlabelled")  # of what is not an example


@dataclass
class Split:
    """Examples, and what was rejected.

    Attributes:
        inputs: role -> values.
        ids: 32 hex digits of each example's inputs.
        groups: 32 hex digits of what each belongs to: of its group field, or its id without one.
        rejected: what is not an example, where and why: "broken" or "unlabelled".
        missing: errors of records that lack a field; they are among the rejected.
        notices: what a person should know of the examples.
        slices: field -> value of each example.
    """

    inputs: dict[str, list[Any]]
    labels: list[Any] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    rejected: dict[str, list[dict[str, str]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    missing: list[MissingError] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    slices: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Any) -> Split:
        """The examples at these places, in this order."""
        inputs = {role: [values[i] for i in places] for role, values in self.inputs.items()}
        labels, ids, groups = ([each[i] for i in places] for each in (self.labels, self.ids, self.groups))
        slices = {name: [values[i] for i in places] for name, values in self.slices.items()}
        return Split(inputs, labels, ids, groups, slices=slices)


@dataclass(frozen=True)
class Frozen:
    """The data of a study.

    Attributes:
        counts: examples by what became of them.
        notices: what a person should know of them.
    """

    train: Split
    test: Split
    classes: list[str]
    counts: dict[str, int]
    notices: list[str] = field(default_factory=list)


def read(
    source: Labelled, task: Any, reader: Any, config: Config, where: str, fields: tuple[str, ...] = ()
) -> Split:
    """Reads and checks every record; those without a label are left out, and told.

    Args:
        fields: of its slices.

    Raises:
        MissingError: if all records lack one of the named fields; it lists those that they have.
        DataError: if more than `reject_budget` of them cannot be used, or none can.
    """
    split = Split({role: [] for role in inputs_of(task.ROLES)})
    reading = Reading(config.missing, config.labels)
    reads = modalities.load(config.modality).READS
    sliced = slices.Collected(fields, reader)
    more = {f"slice {name}": name for name in fields if name != LENGTH}
    asked = fields_of({**source.fields, **more}, source.group)
    layout = Layout(source.format, source.format_options, source.encoding, reads, asked)
    accounts, passed = list[Account](), PassedOver()
    with closing(read_records(source.source, layout, accounts, passed)) as records:
        for record in records:
            if not chosen(record.where, source.share):  # the unreadable ones are sampled as all others are
                continue
            if isinstance(record, Rejected):
                _reject(split, "broken", record.where, record.reason, record.excerpt)
            else:
                inputs = _add(split, record, source, task, reader, reading, where)
                if inputs is not None:
                    sliced.add(record, inputs)
    _check(split, accounts, config.reject_budget, source, where)
    sliced.check(where)
    split.slices = sliced.values
    told = [*_notices(split, reading, accounts), *([f"passed over {passed}"] if passed.counts else [])]
    told += slices.notices(split.slices)
    split.notices = [f"{where}: {notice}" for notice in told]
    return split


def _check(split: Split, accounts: list[Account], budget: float, source: Labelled, where: str) -> None:
    lines = [one for one in accounts if one.unit == "lines"]  # of which a broken record may be many
    lost, of = sum(one.quarantined for one in lines), sum(one.records + one.quarantined for one in lines)
    broken, unlabelled = split.rejected["broken"], split.rejected["unlabelled"]
    found = len(split) + len(broken) + len(unlabelled)
    if split.missing and len(split.missing) == found:
        raise split.missing[0]
    if not found:
        fix = f"add records, or raise the share, which is {source.share:g}"
        raise DataError("there are no labelled records", where=f"{where} {source.source}", fix=fix)
    if not len(split) or len(broken) > budget * (len(split) + len(broken)) or lost > budget * of:
        first = (broken or unlabelled or [{"location": source.source, "reason": "beyond the share"}])[0]
        more = f", {lost} of {of} lines," if lost > len(broken) else ""
        raise DataError(
            f"{len(broken) or found} of {found} labelled records{more} cannot be used",
            where=first["location"],
            found=first["reason"],
            expected=f"at most {budget:.1%}",
            fix="mend them or raise reject_budget",
        )


def _notices(split: Split, reading: Reading, accounts: list[Account]) -> list[str]:
    """What is told of a source: what was guessed, records without label or of no use, what was altered."""
    whole = len(split) + sum(map(len, split.rejected.values()))
    words = {"broken": "cannot be used", "unlabelled": "have no label and are left out"}
    left = [
        f"{len(rows):,} of {whole:,} records {words[kind]}: {rows[0]['reason']}"
        for kind, rows in split.rejected.items()
        if rows
    ]
    notes = Counter(note for one in accounts for note in one.notes)
    guessed = [f"{note} ({count:,} files)" if count > 1 else note for note, count in notes.items()]
    altered = [f"{count:,} records: {what}" for what, count in sorted(reading.notices.items())]
    return [*guessed, *left, *altered]


def _add(
    split: Split, record: Record, source: Labelled, task: Any, reader: Any, reading: Reading, where: str
) -> dict[str, Any] | None:
    """Adds an example, and returns its inputs; None if the record is none."""
    shown, target, values = "", target_of(task.ROLES), {}
    kind, reading.raw = "broken", {}
    try:
        for role in inputs_of(task.ROLES):
            name = source.fields[role]
            shown = str(record.fields.get(name, record.fields))
            values[role] = reader.value(record, name, reading.tell, role)
            reading.raw[role] = record.fields.get(name)
        kind = "unlabelled"  # where the field is lacking, as where it holds nothing
        values[target] = record.required(source.fields[target])
        kind = "broken"
        group = group_of(record, source.group, "")
        if source.group:
            record.required(source.group)
        inputs, label = task.parse(values, reading)
        identity = reader.identity(inputs)
    except MissingError as error:
        error.where = f"{where} {record.where}"
        split.missing.append(error)
        _reject(split, kind, record.where, error.what, shown)
        return None
    except DataError as error:
        kind = "unlabelled" if isinstance(error, Unlabelled) else kind
        _reject(split, kind, record.where, error.reason, shown)
        return None
    if isinstance(group, Rejected):
        _reject(split, "broken", group.where, group.reason, group.excerpt)
        return None
    for role, value in inputs.items():
        split.inputs[role].append(value)
    split.labels.append(label)
    split.ids.append(identity)
    split.groups.append(group.hex() or identity)
    return dict(inputs)


def _reject(split: Split, kind: str, where: str, reason: str, excerpt: str) -> None:
    split.rejected[kind].append({"location": where, "reason": reason, "excerpt": excerpt[:EXCERPT]})


def frozen(config: Config, task: Any, reader: Any) -> Frozen:
    """Train split without what the test split knows, frozen test split, and classes.

    An example is not trained on if its inputs, or its group, are in the test split.

    Raises:
        DataError: if there are too few classes, or a class of the test split is never trained on.
    """
    where = f"tasks.{config.task}"
    test = read(config.test, task, reader, config, f"{where}.test", config.slices)
    order = np.argsort(subset_keys(test.ids, 0), kind="stable")
    kept = test.take(order[: config.test_examples or len(order)])
    counts = {"test": len(kept), "test_available": len(test)}
    if config.train is None:  # nothing is learnt: the labels of the test split name the classes
        empty, names = Split({role: [] for role in kept.inputs}), task.classes(kept.labels)
        empty.rejected = test.rejected
        return Frozen(empty, kept, names, counts, [*test.notices, *_alike(names, where)])
    train = read(config.train, task, reader, config, f"{where}.train")
    ids, groups = set(test.ids), set(test.groups)
    clean = [place for place, name in enumerate(train.ids) if name not in ids]
    apart = train.take([place for place in clean if train.groups[place] not in groups])
    counts |= {
        "train": len(apart),
        "train_also_in_test": len(train) - len(clean),
        "train_of_test_groups": len(clean) - len(apart),
    }
    apart.rejected = {kind: train.rejected[kind] + test.rejected[kind] for kind in KINDS}
    counts |= {"unlabelled": len(apart.rejected["unlabelled"])}
    names = _classes(task, apart, kept, where)
    return Frozen(apart, kept, names, counts, [*train.notices, *test.notices, *_alike(names, where)])


def _alike(names: Sequence[str], where: str) -> list[str]:
    return [f"{where}: {notice}" for notice in classes.notices(names)]


def _classes(task: Any, train: Split, test: Split, where: str) -> list[str]:
    if not len(train):
        what = "every training example, or its group, is in the test split"
        raise DataError(what, where=where, fix="name other records, or another group")
    names = list(task.classes(train.labels))
    if len(names) < task.FEWEST:
        expected = f"at least {task.FEWEST}"
        told = "; ".join([*train.notices, *test.notices])
        raise DataError(
            "there are too few classes", where=f"{where}.train", found=names, expected=expected, fix=told
        )
    unknown = sorted(set(task.classes(test.labels)) - set(names))
    if unknown and not getattr(task, "OPEN", False):
        alike = "; ".join(classes.notices({*names, *unknown}))
        fix = "add training examples of these classes or drop them from the test records"
        fix = f"{fix} ({alike})" if alike else fix
        raise DataError("classes of the test split are never trained on", where=where, found=unknown, fix=fix)
    return names


def subset_keys(ids: list[str], seed: int) -> Any:
    """(n,) numbers whose order picks the labelled subsets of a seed: each within the next larger one."""
    values = np.array([int(name[:15], 16) for name in ids], dtype=np.int64)
    return hashed(seed, "labels", values)


def counts(config: Config, available: int) -> list[int]:
    """The label counts as whole numbers of examples, rising; what exceeds the data is cut to it."""
    return sorted({min(max(_count(value, available), 1), available) for value in config.label_counts})


def counts_told(config: Config, available: int) -> list[str]:
    """Label counts that are not what they may seem: more than there are, and 1, which is a share."""
    above = [f"{value:g}" for value in config.label_counts if _count(value, available) > available]
    told = [f"there are {available:,} examples, and label_counts {', '.join(above)}: all are taken"]
    one = [f"label_counts 1 is a share, all {available:,} examples; one of them is {1 / available:.2g}"]
    return (told if above else []) + (one if 1 in config.label_counts and available > 1 else [])


def _count(value: float, available: int) -> int:
    return round(value * available) if value <= 1 else round(value)
