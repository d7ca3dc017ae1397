"""Objects to packs: the clean documents of a group of objects, kept in the store for the next run.

A pack is a committed output of its own. It lists its sources by name and identity, so that a later run that
finds the same object again neither reads nor cleans it. What of a pack is used, and in which order, is
decided when the corpus is assembled: packs have no part in what the corpus is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from components.ingestion import modalities
from components.ingestion.config import Config
from components.ingestion.modalities import Cleaned, Columns, Payload
from components.ingestion.reading import Fetched, Layout, fetched, payloads
from components.lib.errors import ServiceError
from components.lib.formats import Rejected, Stranger
from components.lib.sources import Object
from components.lib.store import Draft

Cleaner = Callable[[Sequence[Payload]], Cleaned]

BATCH = 1 << 20  # characters or bytes that one worker cleans at a time
REJECTS = 1000  # unreadable records of a row group
ROW_GROUP = 8 << 20  # bytes of data of a row group, what assembly holds of a pack
PARQUET = {
    "compression": "zstd",
    "compression_level": 3,
    "write_page_checksum": True,
    "use_dictionary": False,
}

QUARANTINE = pa.schema(
    [("source", pa.int32()), *((n, pa.string()) for n in ("location", "reason", "excerpt"))]
)


@dataclass(frozen=True)
class Job:
    """What a process that cleans needs to know, once.

    Attributes:
        evaluations: local folders of evaluation indexes.
    """

    config: Config
    evaluations: Sequence[Path]

    def cleaner(self) -> Cleaner:
        """The modality's."""
        cleaner: Cleaner = modalities.load(self.config.modality).cleaner(self.config, self.evaluations)
        return cleaner


def documents(columns: Columns) -> pa.Schema:
    """How the documents of a pack stand in its file."""
    fixed = [
        ("source", pa.int32()),
        ("location", pa.string()),
        ("id", pa.binary(16)),
        ("reason", pa.string()),
    ]
    payload = [(name, pa.type_for_alias(kind)) for name, kind in columns.payload.items()]
    measures = [(name, pa.int32()) for name in columns.measures]
    known = [("shared", pa.int8()), ("signature", pa.binary(2 * columns.signature))]
    return pa.schema([*fixed, *payload, *measures, *known])


@contextmanager
def cleaners(job: Job, workers: int) -> Iterator[Cleaning]:
    """Processes that clean; with fewer than two workers, this process does it."""
    if workers < 2:
        yield Cleaning(job.cleaner(), None, 1)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job,)) as pool:
        try:
            yield Cleaning(None, pool, 2 * workers)
        except BrokenProcessPool as error:
            fix = "give ingestion more memory or fewer workers"
            raise ServiceError("a process that cleans was killed", found=str(error), fix=fix) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass
class Cleaning:
    """Cleans batches in their order, a bounded number of them at a time."""

    cleaner: Cleaner | None
    pool: ProcessPoolExecutor | None
    most: int

    def batches(self, given: Iterator[tuple[Any, list[Payload]]]) -> Iterator[tuple[Any, Cleaned]]:
        """(tag, payloads) to (tag, cleaned)."""
        waiting: deque[tuple[Any, Future[Cleaned]]] = deque()
        for tag, batch in given:
            if self.pool is None:
                assert self.cleaner is not None
                yield tag, self.cleaner(batch)
                continue
            waiting.append((tag, self.pool.submit(_clean, batch)))
            while len(waiting) >= self.most:
                tag, future = waiting.popleft()
                yield tag, future.result()
        for tag, future in waiting:
            yield tag, future.result()


_cleaner: Cleaner | None = None  # one a worker process


def _start(job: Job) -> None:
    """Makes this process a worker."""
    global _cleaner
    _cleaner = job.cleaner()


def _clean(payloads: Sequence[Payload]) -> Cleaned:
    assert _cleaner is not None
    return _cleaner(payloads)


def extract(
    objects: Sequence[Object], config: Config, layout: Layout, cleaning: Cleaning, draft: Draft
) -> None:
    """Writes one pack: documents.parquet, quarantine.parquet and, in `facts`, its sources in order."""
    pack = _Pack(draft, modalities.load(config.modality), config)
    for places, cleaned in cleaning.batches(pack.batches(objects, layout)):
        pack.add(places, cleaned)
    pack.close()


Place = tuple[int, str]  # number of the source, location in it


@dataclass
class _Pack:
    """The two files of a pack while they are written."""

    draft: Draft
    modality: Any
    config: Config
    sources: list[dict[str, Any]] = field(default_factory=list)
    rows: list[pa.Table] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    altered: int = 0

    def __post_init__(self) -> None:
        self.columns: Columns = self.modality.COLUMNS
        self.schema = documents(self.columns)
        self.documents = parquet.ParquetWriter(
            self.draft.folder / "documents.parquet", self.schema, **PARQUET
        )
        self.broken = parquet.ParquetWriter(self.draft.folder / "quarantine.parquet", QUARANTINE, **PARQUET)

    def batches(
        self, objects: Sequence[Object], layout: Layout
    ) -> Iterator[tuple[list[Place], list[Payload]]]:
        """Reads the objects: (places, payloads), of about BATCH characters or bytes at a time."""
        places: list[Place] = []
        batch: list[Payload] = []
        size = 0
        value = partial(self.modality.payload, fields=self.config)
        for number, source in enumerate(fetched(objects)):
            self._begin(source)
            for item in payloads(source, layout, value):
                if isinstance(item, Rejected):
                    self._reject(number, item)
                    continue
                batch.append(item[0])
                places.append((number, item[1]))
                size += sum(map(len, item[0]))
                if size >= BATCH:
                    yield places, batch
                    places, batch, size = [], [], 0
        if batch:
            yield places, batch

    def add(self, places: list[Place], cleaned: Cleaned) -> None:
        """Appends cleaned documents; of a dropped one only an excerpt is kept."""
        for index, reason in cleaned.broken.items():
            self._reject(places[index][0], Rejected(places[index][1], reason, ""))
        places = [place for index, place in enumerate(places) if index not in cleaned.broken]
        for number, _ in places:
            self.sources[number]["rows"] += 1
        table = self._table(places, cleaned)
        self.rows.append(table)
        self.size += sum(table[name].nbytes for name in self.columns.payload)
        self.altered += cleaned.altered
        if self.size >= ROW_GROUP:
            self._flush()

    def _table(self, places: list[Place], cleaned: Cleaned) -> pa.Table:
        kept = [
            self.modality.excerpt(payload) if reason else payload
            for payload, reason in zip(cleaned.payloads, cleaned.reasons, strict=True)
        ]
        signatures = pa.nulls(len(kept), pa.binary(2 * self.columns.signature))
        if cleaned.signatures is not None:
            data = pa.py_buffer(cleaned.signatures.astype("<u2").tobytes())
            signatures = pa.FixedSizeBinaryArray.from_buffers(signatures.type, len(kept), [None, data])
        columns = {
            "source": [number for number, _ in places],
            "location": [where for _, where in places],
            "id": cleaned.ids,
            "reason": cleaned.reasons,
            **{name: [payload[i] for payload in kept] for i, name in enumerate(self.columns.payload)},
            **cleaned.measures,
            "shared": cleaned.shared,
            "signature": signatures,
        }
        return pa.table(
            [pa.array(columns[entry.name], entry.type) for entry in self.schema], schema=self.schema
        )

    def close(self) -> None:
        """Publishes both files."""
        self._flush()
        self._flush_rejects()
        self.documents.close()
        self.broken.close()
        self.draft.add("documents.parquet", sum(entry["rows"] for entry in self.sources))
        self.draft.add("quarantine.parquet", sum(entry["quarantined"] for entry in self.sources))
        self.draft.facts = {"sources": self.sources, "altered": self.altered}

    def _flush(self) -> None:
        if self.rows:
            self.documents.write_table(pa.concat_tables(self.rows))
        self.rows, self.size = [], 0

    def _begin(self, source: Fetched) -> None:
        entry = source.entry
        self.sources.append(
            {
                "name": entry.name, "identity": entry.identity, "sha256": source.sha256,
                "bytes": source.bytes, "rows": 0, "quarantined": 0, "strangers": 0,
            }
        )  # fmt: skip

    def _reject(self, number: int, item: Rejected) -> None:
        self.sources[number]["quarantined"] += 1
        self.sources[number]["strangers"] += isinstance(item, Stranger)
        row = {"source": number, "location": item.where, "reason": item.reason, "excerpt": item.excerpt}
        self.rejects.append(row)
        if len(self.rejects) >= REJECTS:
            self._flush_rejects()

    def _flush_rejects(self) -> None:
        self.broken.write_table(pa.Table.from_pylist(self.rejects, QUARANTINE))
        self.rejects = []
