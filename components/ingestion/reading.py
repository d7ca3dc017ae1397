"""Objects to pairs of payload and place: fetched ahead, records checked, nothing left out."""

from __future__ import annotations

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.ingestion.modalities import Payload
from components.lib.formats import Record, Rejected
from components.lib.sources import Object, fetch, open_records

AHEAD = 4  # objects fetched before they are read


@dataclass(frozen=True)
class Layout:
    """How files become records: what a source's owner knows of them."""

    format: str
    options: dict[str, dict[str, Any]]
    encoding: str
    modality: str


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


def payloads(
    source: Fetched, layout: Layout, value: Callable[[Record], Payload | Rejected]
) -> Iterator[tuple[Payload, str] | Rejected]:
    """(payload, where) of each record; a Rejected where a record has none."""
    records = open_records(
        source.entry, source.path, format=layout.format, options=layout.options, encoding=layout.encoding,
        modality=layout.modality,
    )  # fmt: skip
    for record in records:
        found = record if isinstance(record, Rejected) else value(record)
        yield found if isinstance(found, Rejected) else (found, record.where)


def _fetch(entry: Object, folder: Path) -> Fetched:
    path = fetch(entry, folder)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if entry.member:
        digest = hashlib.sha256(f"{digest}!/{entry.member}".encode()).hexdigest()
    return Fetched(entry, path, digest, path.stat().st_size)
