"""Tar shards in the manner of WebDataset: members that share a name but for its ending are one record.

000017.jpg  000017.cls              a class as a number
000018.png  000018.json             fields by name
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.formats import Record, Rejected, printable, rejected
from components.lib.data.formats.image import LARGEST
from components.lib.data.formats.image import SUFFIXES as PICTURES
from components.lib.data.streams import Stream, explained

SUFFIXES = ()
ARCHIVE = True  # reads the archive itself, not one member after the other
MOST = 1 << 30  # members of a shard


@dataclass(frozen=True)
class Config:
    """What the endings mean."""

    label: str = setting("cls", "ending of the members that name the class")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `image` and `label`, and those of a .json; the members of a record stand side by side.

    Links, devices and folders in the archive are passed over, and no name in it is ever a path.
    """
    key = ""
    fields: dict[str, Any] = {}
    with explained(stream.name), tarfile.open(fileobj=stream.file, mode="r|") as archive:
        for number, info in enumerate(archive):
            if number > MOST:
                raise DataError("an archive has too many members", where=stream.name, expected=f"{MOST:,}")
            folder, slash, name = info.name.rpartition("/")
            if not info.isfile() or name.startswith("."):
                continue
            stem, _, ending = name.partition(".")
            if (key_now := f"{folder}{slash}{stem}") != key:
                yield from _record(stream, key, fields)
                key, fields = key_now, {}
            if info.size > LARGEST:
                yield rejected(
                    f"{printable(stream.name)}!/{printable(info.name)}", "the member is too large", ""
                )
                continue
            member = archive.extractfile(info)
            assert member is not None
            fields[ending.lower()] = member.read()
            if ending.lower() == config.label:
                fields["label"] = fields.pop(ending.lower()).decode("utf-8", "replace").strip()
    yield from _record(stream, key, fields)


def _record(stream: Stream, key: str, members: dict[str, Any]) -> Iterator[Record | Rejected]:
    if not members:
        return
    where = f"{printable(stream.name)}!/{printable(key)}"
    pictures = [name for name in members if f".{name.rpartition('.')[2]}" in PICTURES]
    if not pictures:
        yield rejected(where, "no image among the members of a record", ", ".join(members))
        return
    fields = {"image": members[pictures[0]]}
    try:
        described = json.loads(members.get("json", b"{}"))
    except ValueError as error:
        yield rejected(where, f"the .json cannot be read: {error}", "")
        return
    if isinstance(described, dict):
        fields |= described
    if "label" in members:
        fields["label"] = members["label"]
    yield Record(fields, where)
