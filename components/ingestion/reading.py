"""Objects to batches of payloads: fetched ahead, read in a process of limits, nothing left out."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from components.ingestion.config import Config
from components.ingestion.sandbox import Lost
from components.lib import modalities
from components.lib.data.formats import Record, Rejected
from components.lib.data.sources import Object, fetch, open_records
from components.lib.modalities import Payload

AHEAD = 4  # objects fetched before they are read
REJECTS = 1000  # unreadable records of a batch
SLOWEST = 1 << 20  # bytes of a file that are read in a second at least: archives may hold much of no concern
SETTINGS = {"time": "ingestion.timeout", "memory": "ingestion.memory"}  # what sets the limits of a process

Place = tuple[int, str]  # number of the source, location in it


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


@dataclass
class Batch:
    """Payloads of some files on their way from the process that reads to one that cleans.

    Attributes:
        places: of each payload.
        rejects: number of the source, and what of it could not be read.
        payloads: a list of them, pickled: the process in between does not look into it.
    """

    places: list[Place]
    rejects: list[tuple[int, Rejected]]
    payloads: bytes


@dataclass
class Reader:
    """What the process that reads does with a file, and with None, which asks for what is left."""

    layout: Layout
    config: Config
    batch: int
    places: list[Place] = field(default_factory=list)
    rejects: list[tuple[int, Rejected]] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    size: int = 0

    def __call__(self, request: tuple[int, Fetched] | None) -> Iterator[Batch]:
        """Batches of about `batch` characters or bytes; a small file has its rows in the next one."""
        if request is None:
            if self.places or self.rejects:
                yield self._batch()
            return
        number, source = request
        value = partial(modalities.load(self.layout.modality, "ingestion").payload, fields=self.config.fields)
        for item in payloads(source, self.layout, value):
            if isinstance(item, Rejected):
                self.rejects.append((number, item))
            else:
                self.payloads.append(item[0])
                self.places.append((number, item[1]))
                self.size += sum(map(len, item[0]))
            if self.size >= self.batch or len(self.rejects) >= REJECTS:
                yield self._batch()

    def _batch(self) -> Batch:
        batch = Batch(self.places, self.rejects, pickle.dumps(self.payloads, pickle.HIGHEST_PROTOCOL))
        self.places, self.rejects, self.payloads, self.size = [], [], [], 0
        return batch


def patience(config: Config, size: int) -> float:
    """Seconds in which a process must tell the next of so many bytes."""
    return config.timeout + size / SLOWEST


def told(lost: Lost) -> str:
    """Why a file is set aside that a process was lost over."""
    limit = f" (setting {SETTINGS[lost.limit]})" if lost.limit else ""
    return f"the process that decoded it {lost}{limit}"


def fetched(objects: Sequence[Object]) -> Iterator[tuple[Fetched, Fetched | None]]:
    """The objects in their order, each on disk until the next is asked for; and the next, if it is there."""
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[tuple[tempfile.TemporaryDirectory[str], Future[Fetched]]] = deque()
        todo = iter(objects)

        def fill() -> None:
            while len(waiting) < AHEAD and (entry := next(todo, None)) is not None:
                folder = tempfile.TemporaryDirectory(prefix="trunkline-")
                waiting.append((folder, pool.submit(_fetch, entry, Path(folder.name))))

        try:
            fill()
            while waiting:
                folder, future = waiting.popleft()
                with folder:
                    file = future.result()
                    fill()
                    ready = bool(waiting) and waiting[0][1].done()
                    yield file, waiting[0][1].result() if ready else None
        finally:
            for folder, future in waiting:
                future.cancel() or future.exception()
                folder.cleanup()


def payloads(
    source: Fetched, layout: Layout, value: Callable[[Record], Payload | Rejected]
) -> Iterator[tuple[Payload, str] | Rejected]:
    """(payload, where) of each record; a Rejected where a record has none."""
    records = open_records(
        source.entry,
        source.path,
        format=layout.format,
        options=layout.options,
        encoding=layout.encoding,
        modality=layout.modality,
    )
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
