"""Objects to pairs of text and place: fetched ahead, records checked, nothing left out."""

from __future__ import annotations

import hashlib
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.config import did_you_mean
from components.lib.formats import Record, Rejected, rejected
from components.lib.sources import Object, fetch, open_records

AHEAD = 4  # objects fetched before they are read


@dataclass(frozen=True)
class Layout:
    """How records become texts: what a source's owner knows of its files."""

    format: str
    options: dict[str, dict[str, Any]]
    encoding: str
    text: str


@dataclass(frozen=True)
class Fetched:
    """An object that lies on this machine."""

    entry: Object
    path: Path
    sha256: str
    bytes: int


def fetched(objects: Sequence[Object]) -> Iterator[Fetched]:
    """The objects in their order, each on disk until the next one is asked for."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[tuple[tempfile.TemporaryDirectory[str], Future[Fetched]]] = deque()
        todo = iter(objects)
        try:
            while True:
                while len(waiting) < AHEAD and (entry := next(todo, None)) is not None:
                    folder = tempfile.TemporaryDirectory(prefix="trunkline-")
                    waiting.append((folder, pool.submit(_fetch, entry, Path(folder.name))))
                if not waiting:
                    return
                folder, future = waiting.popleft()
                with folder:
                    yield future.result()
        finally:
            for folder, future in waiting:
                future.cancel() or future.exception()
                folder.cleanup()


def texts(source: Fetched, layout: Layout) -> Iterator[tuple[str, str] | Rejected]:
    """(text, where) of each record; a Rejected where a record has no text."""
    records = open_records(
        source.entry, source.path, format=layout.format, options=layout.options, encoding=layout.encoding
    )
    for record in records:
        yield record if isinstance(record, Rejected) else _text(record, layout.text)


def _text(record: Record, field: str) -> tuple[str, str] | Rejected:
    if field not in record.fields and tuple(record.fields) != ("text",):
        known = did_you_mean(field, sorted(map(str, record.fields)))
        return rejected(record.where, f"there is no field '{field}'; {known}", record.fields)
    value = record.fields[field] if field in record.fields else record.fields["text"]
    if isinstance(value, list) and all(isinstance(token, str) for token in value):
        value = " ".join(value)
    if not isinstance(value, str):
        return rejected(record.where, f"'{field}' is no text but {type(value).__name__}", value)
    if value.count("\0") * 10 > len(value):
        return rejected(record.where, "binary data: more than 10 % of it are NUL characters", value)
    return value, record.where


def _fetch(entry: Object, folder: Path) -> Fetched:
    path = fetch(entry, folder)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if entry.member:
        digest = hashlib.sha256(f"{digest}!/{entry.member}".encode()).hexdigest()
    return Fetched(entry, path, digest, path.stat().st_size)
