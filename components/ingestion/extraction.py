"""Objects to packs: the clean documents of a group of objects, kept in the store for the next run.

A pack is a committed output of its own. It lists its sources by name and identity, so that a later run that
finds the same object again neither reads nor cleans it. What of a pack is used, and in which order, is
decided when the corpus is assembled: packs have no part in what the corpus is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from components.ingestion.cleaning import PERMUTATIONS, Cleaned, Cleaner, Job, clean, start
from components.ingestion.reading import Fetched, Layout, fetched, texts
from components.lib.errors import ServiceError
from components.lib.formats import Rejected
from components.lib.sources import Object
from components.lib.store import Draft

BATCH = 1 << 20  # characters that one worker cleans at a time
DROPPED = 80  # characters that are kept of a dropped document
REJECTS = 1000  # unreadable records of a row group
ROW_GROUP = 8 << 20  # bytes of text of a row group, what assembly holds of a pack
PARQUET = {
    "compression": "zstd",
    "compression_level": 3,
    "write_page_checksum": True,
    "use_dictionary": False,
}

DOCUMENTS = pa.schema(
    [
        ("source", pa.int32()),
        ("location", pa.string()),
        ("id", pa.binary(16)),
        ("reason", pa.string()),
        ("text", pa.string()),
        ("words", pa.int32()),
        ("characters", pa.int32()),
        ("shared", pa.int8()),
        ("signature", pa.binary(2 * PERMUTATIONS)),
    ]
)
QUARANTINE = pa.schema(
    [("source", pa.int32()), *((n, pa.string()) for n in ("location", "reason", "excerpt"))]
)


@contextmanager
def cleaners(job: Job, workers: int) -> Iterator[Cleaning]:
    """Processes that clean; with fewer than two workers, this process does it."""
    if workers < 2:
        yield Cleaning(Cleaner(job), None, 1)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=start, initargs=(job,)) as pool:
        try:
            yield Cleaning(None, pool, 2 * workers)
        except BrokenProcessPool as error:
            fix = "give ingestion more memory or fewer workers"
            raise ServiceError("a process that cleans text was killed", found=str(error), fix=fix) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass
class Cleaning:
    """Cleans batches in their order, a bounded number of them at a time."""

    cleaner: Cleaner | None
    pool: ProcessPoolExecutor | None
    most: int

    def batches(self, given: Iterator[tuple[Any, list[str]]]) -> Iterator[tuple[Any, Cleaned]]:
        """(tag, texts) to (tag, cleaned)."""
        waiting: deque[tuple[Any, Future[Cleaned]]] = deque()
        for tag, batch in given:
            if self.pool is None:
                assert self.cleaner is not None
                yield tag, self.cleaner(batch)
                continue
            waiting.append((tag, self.pool.submit(clean, batch)))
            while len(waiting) >= self.most:
                tag, future = waiting.popleft()
                yield tag, future.result()
        for tag, future in waiting:
            yield tag, future.result()


def extract(objects: Sequence[Object], layout: Layout, cleaning: Cleaning, draft: Draft) -> None:
    """Writes one pack: documents.parquet, quarantine.parquet and, in `facts`, its sources in order."""
    pack = _Pack(draft)
    for tag, cleaned in cleaning.batches(pack.batches(objects, layout)):
        pack.add(tag, cleaned)
    pack.close()


@dataclass
class _Pack:
    """The two files of a pack while they are written."""

    draft: Draft
    sources: list[dict[str, Any]] = field(default_factory=list)
    rows: list[pa.Table] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    altered: int = 0

    def __post_init__(self) -> None:
        self.documents = parquet.ParquetWriter(self.draft.folder / "documents.parquet", DOCUMENTS, **PARQUET)
        self.broken = parquet.ParquetWriter(self.draft.folder / "quarantine.parquet", QUARANTINE, **PARQUET)

    def batches(
        self, objects: Sequence[Object], layout: Layout
    ) -> Iterator[tuple[list[tuple[int, str]], list[str]]]:
        """Reads the objects: (place of each text, texts), about BATCH characters at a time."""
        places: list[tuple[int, str]] = []
        batch: list[str] = []
        size = 0
        for number, source in enumerate(fetched(objects)):
            self._start(source)
            for item in texts(source, layout):
                if isinstance(item, Rejected):
                    self._reject(number, item)
                    continue
                self.sources[number]["rows"] += 1
                batch.append(item[0])
                places.append((number, item[1]))
                size += len(item[0])
                if size >= BATCH:
                    yield places, batch
                    places, batch, size = [], [], 0
        if batch:
            yield places, batch

    def add(self, places: list[tuple[int, str]], cleaned: Cleaned) -> None:
        """Appends cleaned documents; of a dropped one only the beginning is kept."""
        kept = [
            text[:DROPPED] if reason else text
            for text, reason in zip(cleaned.texts, cleaned.reasons, strict=True)
        ]
        signatures = pa.nulls(len(kept), pa.binary(2 * PERMUTATIONS))
        if cleaned.signatures is not None:
            data = pa.py_buffer(cleaned.signatures.astype("<u2").tobytes())
            signatures = pa.FixedSizeBinaryArray.from_buffers(signatures.type, len(kept), [None, data])
        columns = [
            pa.array([number for number, _ in places], pa.int32()),
            pa.array([where for _, where in places]),
            pa.array(cleaned.ids, pa.binary(16)),
            pa.array(cleaned.reasons),
            pa.array(kept),
            pa.array(cleaned.words),
            pa.array([len(text) for text in cleaned.texts], pa.int32()),
            pa.array(cleaned.shared),
            signatures,
        ]
        self.rows.append(pa.table(columns, schema=DOCUMENTS))
        self.size += columns[4].nbytes
        self.altered += cleaned.altered
        if self.size >= ROW_GROUP:
            self._flush()

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

    def _start(self, source: Fetched) -> None:
        entry = source.entry
        self.sources.append(
            {
                "name": entry.name, "identity": entry.identity, "sha256": source.sha256,
                "bytes": source.bytes, "rows": 0, "quarantined": 0,
            }
        )  # fmt: skip

    def _reject(self, number: int, item: Rejected) -> None:
        self.sources[number]["quarantined"] += 1
        row = {"source": number, "location": item.where, "reason": item.reason, "excerpt": item.excerpt}
        self.rejects.append(row)
        if len(self.rejects) >= REJECTS:
            self._flush_rejects()

    def _flush_rejects(self) -> None:
        self.broken.write_table(pa.Table.from_pylist(self.rejects, QUARANTINE))
        self.rejects = []
