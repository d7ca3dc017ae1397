"""Record reader: fetches files ahead, parses them in a sandboxed process, hands on batches in order."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.ingestion.config import Config, Evaluation
from components.ingestion.sandbox import Child, Lost
from components.lib import modalities
from components.lib.core.errors import DataError, InternalError
from components.lib.data.formats import Account, Layout, Record, Rejected
from components.lib.data.groups import FILE, fields_of, group_of
from components.lib.data.listing import Object, PassedOver
from components.lib.data.sources import fetch, fetch_beside, noted, open_records
from components.lib.modalities import Payload

if TYPE_CHECKING:
    from components.lib.data.annotations import Annotations

AHEAD = 4  # objects fetched before they are read
REJECTS = 1000  # unreadable records of a batch, and accounts of files

Place = tuple[int, str]  # number of the source, location in it


@dataclass(frozen=True)
class Fetched:
    """An object that lies on this machine."""

    entry: Object
    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Loss:
    """A file that could not be decoded to its end."""

    file: Fetched
    where: str
    reason: str


@dataclass
class Batch:
    """Payloads of some files on their way from the process that reads to one that cleans.

    Attributes:
        places: of each payload.
        groups: hash of the group of each payload; empty if there are none.
        rejects: number of the source, and what of it could not be read.
        accounts: number of the source, and the account of a stream of it that ended.
        passed: number of the source, and which members of it are not data.
        payloads: a list of them, pickled: the process in between does not look into it.
    """

    places: list[Place]
    groups: list[bytes]
    rejects: list[tuple[int, Rejected]]
    accounts: list[tuple[int, Account]]
    passed: list[tuple[int, PassedOver]]
    payloads: bytes


@dataclass(frozen=True)
class Beside:
    """Annotations of images: the names of all images, and what lies beside them.

    Attributes:
        files: the annotation files, once they are on this machine.
    """

    images: list[str]
    objects: Sequence[Object]
    files: Sequence[tuple[Object, Path]] = ()

    def fetched(self, folder: Path) -> Beside | None:
        """The same with its files in a folder that is kept; None if there are none."""
        files = fetch_beside(self.objects, folder)
        return replace(self, files=files) if files else None


@dataclass
class RecordReader:
    """What the process that reads does with a file, and with None, which asks for what is left."""

    config: Config
    batch: int
    beside: Beside | None = None
    places: list[Place] = field(default_factory=list)
    groups: list[bytes] = field(default_factory=list)
    rejects: list[tuple[int, Rejected]] = field(default_factory=list)
    accounts: list[tuple[int, Account]] = field(default_factory=list)
    passed: list[tuple[int, PassedOver]] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    size: int = 0
    notes: Annotations | None = None

    def __call__(self, request: tuple[int, Fetched] | None) -> Iterator[Batch]:
        """Batches of about `batch` characters or bytes; a small file has its rows in the next one."""
        if request is None:
            if self.places or self.rejects or self.accounts or self.passed:
                yield self._batch()
            return
        number, source = request
        config, passed = self.config, PassedOver()
        for item in payloads(source, config, config, config.group, passed, self._notes(passed)):
            if isinstance(item, Rejected):
                self.rejects.append((number, item))
            elif isinstance(item, Account):
                self.accounts.append((number, item))
            else:
                payload, where, group = item
                self.payloads.append(payload)
                self.places.append((number, where))
                self.groups += [group] if config.group else []
                self.size += sum(map(len, payload))
            if self.size >= self.batch or len(self.rejects) + len(self.accounts) >= REJECTS:
                yield self._batch()
        self.passed += [(number, passed)] if passed.counts else []

    def _notes(self, passed: PassedOver) -> Annotations | None:
        """The annotations, read for the first file, whose account says what of them is of no use."""
        if self.beside is not None and self.notes is None:
            layout = layout_of(self.config, self.config)
            self.notes = noted(self.beside.images, self.beside.files, layout, passed)
        return self.notes

    def _batch(self) -> Batch:
        pickled = pickle.dumps(self.payloads, pickle.HIGHEST_PROTOCOL)
        batch = Batch(self.places, self.groups, self.rejects, self.accounts, self.passed, pickled)
        self.places, self.groups, self.rejects, self.accounts, self.passed = [], [], [], [], []
        self.payloads, self.size = [], 0
        return batch


def read(
    objects: Sequence[Object], config: Config, reader: Child, files: list[Fetched], lost: dict[int, Loss]
) -> Iterator[Batch]:
    """Batches of the objects in their order; the next is asked for ahead, so that no process waits.

    Args:
        reader: a process of `RecordReader`.
        files: gets each file before its first batch.
        lost: gets those that cannot be decoded to their end, by their number.
    """
    sent = 0
    for number, (file, following) in enumerate(fetched(objects)):
        for ahead in [file, following][sent - number :]:
            if ahead is not None:
                reader.send((sent, ahead))
                sent += 1
        files.append(file)
        try:
            yield from reader.answer(config.patience(file.bytes))
        except Lost as error:
            lost[number] = Loss(file, file.entry.name, error.reason)
        except DataError as error:
            lost[number] = Loss(file, error.where or file.entry.name, error.reason)
        except InternalError as error:
            error.where = error.where or file.entry.name
            raise
    yield from reader.ask(None, config.patience(0))


def layout_of(source: Config | Evaluation, config: Config) -> Layout:
    """How the files of the sources, or of an evaluation set, become records."""
    options = source.format_options or config.format_options
    modality, asked = modalities.load(config.modality), fields_of(source.fields, source.group)
    joined = source is config and joins(config)
    return Layout(source.format, options, config.encoding, modality.READS, asked, joined)


def joins(config: Config) -> bool:
    """Whether annotations beside files belong to records of the corpus."""
    return bool(getattr(modalities.load(config.modality), "JOINED", False))


def payloads(
    file: Fetched,
    source: Config | Evaluation,
    config: Config,
    group: str,
    passed: PassedOver,
    notes: Annotations | None = None,
) -> Iterator[tuple[Payload, str, bytes] | Rejected | Account]:
    """(payload, where, hash of its group) of each record; a Rejected where a record has none; Accounts."""
    own = modalities.load(config.modality, "ingestion")
    payload_of: Any = own.payload
    halved = getattr(own, "halved", lambda payload: False)
    for item in open_records(file.entry, file.path, layout_of(source, config), passed, notes):
        if not isinstance(item, Record):
            yield item
            continue
        payload = payload_of(item, source.fields)
        if isinstance(payload, Rejected):
            yield payload
            continue
        group_ = FILE if group and halved(payload) else group  # a rule drops it: it need not name one
        found = group_of(item, group_, file.entry.name)
        yield found if isinstance(found, Rejected) else (payload, item.where, found)


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


def _fetch(entry: Object, folder: Path) -> Fetched:
    path = fetch(entry, folder)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if entry.member:
        digest = hashlib.sha256(f"{digest}!/{entry.member}".encode()).hexdigest()
    return Fetched(entry, path, digest, path.stat().st_size)
