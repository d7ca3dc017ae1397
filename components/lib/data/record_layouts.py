"""Layouts of records: files that are one record, hive folders, Label Studio, SQuAD, Git LFS pointers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from components.lib.data.formats import Account, Record, Rejected, printable, rejected
from components.lib.data.listing import COLUMN
from components.lib.data.streams import Stream

POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST_POINTER = 1024  # bytes
PLAIN = ("text", "rating", "number", "taxonomy")  # values of Label Studio that are taken as they are
NOTHING = "__HIVE_DEFAULT_PARTITION__"


def pointer(path: Path, where: str) -> Rejected | None:
    """Of a Git LFS pointer that stands for a file, the one record that it would be."""
    if path.stat().st_size > LONGEST_POINTER:
        return None
    head = path.read_bytes()
    if not head.startswith(POINTER):
        return None
    return rejected(
        where, "a Git LFS pointer, not the file: fetch it by 'git lfs pull'", head.decode("latin-1")
    )


def whole(stream: Stream, field: str, largest: int) -> Iterator[Record | Rejected]:
    """The one record of a file that is one: its bytes as `field`, and as `label` the folder that it is in."""
    where = printable(stream.name)
    stream.tally.read = 1
    data = stream.file.read(largest + 1)
    if len(data) > largest:
        yield rejected(where, f"the file is larger than {largest:,} bytes", "")
        return
    archive = stream.name.removesuffix(f"!/{stream.member}")
    name = f"{archive}/{stream.member}" if stream.member else archive
    folders = [part for part in name.split("/")[:-1] if not COLUMN.fullmatch(part)]
    yield Record({field: data, "label": folders[-1] if folders else ""}, where)


def columns(name: str) -> dict[str, str | None]:
    """The columns that folders name, as hive, Spark and Arrow write them: {"day": "1"} of day=1/x.parquet."""
    found: dict[str, str | None] = {}
    for part in name.split("/")[:-1]:
        if match := COLUMN.fullmatch(part):
            value = unquote(match[2])
            found[match[1]] = None if value == NOTHING else value
    return found


def completed(
    items: Iterator[Record | Rejected | Account], name: str, suffix: str
) -> Iterator[Record | Rejected | Account]:
    """The items of a file with the columns of its folders; exports of Label Studio and SQuAD laid flat."""
    partition = columns(name) if "=" in name else {}
    return _completed(items, partition) if partition or suffix == ".json" else items


def _completed(
    items: Iterator[Record | Rejected | Account], partition: Mapping[str, str | None]
) -> Iterator[Record | Rejected | Account]:
    articles, more, broken = 0, 0, 0  # records than the file has, as its articles are taken apart
    for item in items:
        if isinstance(item, Record) and isinstance(item.fields.get("paragraphs"), list):
            articles += 1
            found = list(questions(item, articles, partition))
            broken += sum(isinstance(one, Rejected) for one in found)
            more += len(found) - 1
            yield from found
            continue
        if isinstance(item, Record):
            exported = "data" in item.fields and "annotations" in item.fields
            fields = labelled(item.fields) if exported else item.fields
            item = Record({**fields, **partition}, item.where, item.span)
        elif isinstance(item, Account) and articles:
            notes = (*item.notes, f"{articles:,} articles of SQuAD: each of their questions is a record")
            read, records = item.read + more, item.records + more - broken
            item = replace(
                item, read=read, records=records, quarantined=item.quarantined + broken, notes=notes
            )
        yield item


def questions(
    article: Record, number: int, partition: Mapping[str, str | None]
) -> Iterator[Record | Rejected]:
    """The questions of an article in SQuAD's JSON, each with its context; an article without one as it is.

    Rajpurkar et al., "SQuAD", EMNLP 2016: {title, paragraphs: [{context, qas: [{question, answers}]}]}. What
    is no such question is a Rejected.
    """
    rest = {name: value for name, value in article.fields.items() if name != "paragraphs"}
    count = 0
    for paragraph, held in enumerate(article.fields["paragraphs"], 1):
        fields = held if isinstance(held, Mapping) else {}
        asked = fields.get("qas")
        for place, question in enumerate(asked if isinstance(asked, list) else [None], 1):
            where = f"{article.where}, article {number}, paragraph {paragraph}, question {place}"
            count += 1
            if isinstance(question, Mapping):
                own = {name: value for name, value in fields.items() if name != "qas"}
                yield Record({**rest, **own, **question, **partition}, where)
            else:
                yield rejected(where, "no question of a paragraph: {context, qas: [{question}]}", held)
    if not count:
        yield article


def labelled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A task of Label Studio as flat fields: its data, and by the names of its controls what was chosen.

    The first annotation that was not cancelled counts. Choices are a word, or a list of several, spans of
    text are {start, end, label}, boxes of images {box, label} in pixels. Other records stay as they are.
    """
    data, annotations = fields["data"], fields["annotations"]
    if not isinstance(data, Mapping) or not isinstance(annotations, Sequence):
        return dict(fields)
    done = [one for one in annotations if isinstance(one, Mapping) and not one.get("was_cancelled")]
    if any("result" not in one for one in done):
        return dict(fields)
    found: dict[str, Any] = {}
    for result in done[0]["result"] if done else []:
        name, value = result.get("from_name", "label"), result.get("value", {})
        if "choices" in value:
            chosen = value["choices"]
            found[name] = chosen[0] if len(chosen) == 1 else chosen
        elif "rectanglelabels" in value:
            width, height = result["original_width"] / 100, result["original_height"] / 100
            left, top = value["x"] * width, value["y"] * height
            box = [left, top, left + value["width"] * width, top + value["height"] * height]
            found.setdefault(name, []).append({"box": box, "label": value["rectanglelabels"][0]})
        elif "labels" in value:
            span = {"start": value.get("start"), "end": value.get("end"), "label": value["labels"][0]}
            found.setdefault(name, []).append(span)
        else:
            found[name] = next((value[kind] for kind in PLAIN if kind in value), None)
    rest = {name: value for name, value in fields.items() if name not in ("data", "annotations")}
    return {**rest, **data, **found}
