"""Tar shards of WebDataset: members that share a name up to its first dot are one record.

000017.jpg  000017.cls                  an image, and its class as `label`
000018.png  000018.txt  000018.json     an image, its caption as `text`, the object's fields by their names
000019.jpg  000019.depth.png            an image, and the field `depth.png`
a.1.jpg  a.1.txt  a.2.jpg  a.2.txt      two images, each with its caption: no member is called by `a` alone
000020.flac 000020.txt                  a recording as `audio`, and what is said in it

Every member is a field. `image` is the member whose whole ending is that of an image file, or the only image;
so is `audio`, and whatever else files of some format hold.
Endings that mean nothing here name their fields themselves, and are counted among what is passed over.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.encodings import known
from components.lib.data.formats import Record, Rejected, contents, printable, rejected
from components.lib.data.listing import SPECIAL, no_data
from components.lib.data.streams import Stream, explained

SUFFIXES = ()
ARCHIVE = True  # reads the archive itself, not one member after the other
MOST = 1 << 30  # members of a shard
LARGEST = 1 << 28  # bytes of a member
TEXTS = {"txt": "text", "caption": "caption"}  # ending -> field
# Each is a field of its own name.
FIELD = "members of tar shards that are not an image, recording, text, class or .json"


@dataclass(frozen=True)
class Config:
    """What the endings mean."""

    label: str = setting("cls", "ending of the members that name the class")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record for each name; the members of a record stand side by side.

    Links and devices are not followed, and no name in the archive is ever a path.
    """
    codec = "utf-8-sig" if encoding == "auto" else known(encoding)
    key, members = "", dict[str, bytes]()
    stream.tally.unit = "members"
    with explained(stream.name), tarfile.open(fileobj=stream.file, mode="r|") as archive:
        for number, info in enumerate(archive):
            if number > MOST:
                raise DataError("an archive has too many members", where=stream.name, expected=f"{MOST:,}")
            folder, slash, name = info.name.rpartition("/")
            if info.isdir():
                continue
            if why := no_data(info.name) or ("" if info.isfile() else SPECIAL):
                stream.passed.add(why, f"{stream.name}!/{info.name}")
                continue
            stream.tally.read += 1
            stem, _, ending = name.partition(".")
            if (key_now := f"{folder}{slash}{stem}") != key:
                yield from _record(stream, key, members, config.label, codec)
                key, members = key_now, {}
            problem = f"the member is larger than {LARGEST:,} bytes" if info.size > LARGEST else ""
            problem = "a member of this name stands before it" if ending.lower() in members else problem
            if problem:
                yield rejected(f"{printable(stream.name)}!/{printable(info.name)}", problem, "")
                continue
            member = archive.extractfile(info)
            assert member is not None
            members[ending.lower()] = member.read()
    yield from _record(stream, key, members, config.label, codec)


def _record(
    stream: Stream, key: str, members: Mapping[str, bytes], label: str, codec: str
) -> Iterator[Record | Rejected]:
    """The record of the members of a name; several, where images of names with dots share its first part."""
    for name, own in _apart(key, members).items():
        yield from _fields(stream, name, own, label, codec)


def _apart(key: str, members: Mapping[str, bytes]) -> dict[str, Mapping[str, bytes]]:
    """Name -> members: by the last dot if that gives each image or recording a record."""
    media = {one for endings in contents().values() for one in endings}
    several = [ending for ending in members if f".{ending.rpartition('.')[2]}" in media]
    if not several or any("." not in ending for ending in members):
        return {key: members}
    found: dict[str, dict[str, bytes]] = {}
    for ending, data in members.items():
        stem, _, last = ending.rpartition(".")
        found.setdefault(f"{key}.{stem}", {})[last] = data
    alone = len(found) == len(several)
    return {**found} if alone else {key: members}


def _fields(
    stream: Stream, key: str, members: Mapping[str, bytes], label: str, codec: str
) -> Iterator[Record | Rejected]:
    """The fields of a record."""
    if not members:
        return
    where, described = f"{printable(stream.name)}!/{printable(key)}", {}
    fields = dict[str, Any]()
    held = {name: _holder(members, endings) for name, endings in contents().items()}
    fields |= {name: members[ending] for name, ending in held.items() if ending}
    try:
        for ending, data in members.items():
            if ending == label:
                fields["label"] = data.decode(codec).strip()
            elif ending in TEXTS:
                fields[TEXTS[ending]] = data.decode(codec)
            elif ending == "json":
                described = json.loads(data)
            elif ending not in held.values():
                fields[ending] = data
                stream.passed.add(FIELD, f"{where}.{ending}")
    except (ValueError, RecursionError) as error:  # of JSON and of codecs
        yield rejected(where, f"its .{ending} cannot be read: {error}", ", ".join(members), len(members))
        return
    for name, value in (described if isinstance(described, dict) else {"json": described}).items():
        fields[f"json.{name}" if name in fields else name] = value
    yield Record(fields, where, len(members))


def _holder(members: Mapping[str, bytes], endings: tuple[str, ...]) -> str:
    """The ending of the member that holds a content: one of its files', whole or as the only last part."""
    whole = [ending for ending in members if f".{ending}" in endings]
    deeper = [ending for ending in members if f".{ending.rpartition('.')[2]}" in endings]
    return whole[0] if whole else deeper[0] if len(deeper) == 1 else ""
