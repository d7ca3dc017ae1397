"""Objects to packs: the clean documents of a group of objects, kept in the store for the next run.

A pack is a committed output of its own. It lists its sources by name and identity, so that a later run that
finds the same object again neither reads nor cleans it. What of a pack is used, and in which order, is
decided when the corpus is assembled: packs have no part in what the corpus is.

A file that cannot be decoded to its end has no part in a pack of others. It gets a rejection, a pack without
rows under a key that says why, which the next run does not look for: the file is tried again. For what a
process died of may be the machine (too slow, too small) and not the file, and a limit may since be raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from components.ingestion.config import Config
from components.ingestion.reading import REJECTS, Batch, Fetched, Place, fetched, patience, told
from components.ingestion.sandbox import Child, Lost
from components.ingestion.workers import Cleaning, Culprits
from components.lib import modalities
from components.lib.core.errors import DataError, InternalError
from components.lib.data.formats import Rejected, Stranger
from components.lib.data.sources import Object
from components.lib.modalities import Cleaned, Columns
from components.lib.storage import artifacts
from components.lib.storage.store import Draft

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


@dataclass(frozen=True)
class Loss:
    """A file that could not be decoded to its end."""

    file: Fetched
    where: str
    reason: str


def extract(
    objects: Sequence[Object], config: Config, reader: Child, cleaning: Cleaning, draft: Draft
) -> list[Loss]:
    """Writes one pack: documents.parquet, quarantine.parquet and, in `facts`, its sources in order.

    Returns:
        The files that were lost: with any, nothing is published, as rows of them are among the others.
    """
    pack = _Pack(draft, config)
    for batch, cleaned in cleaning.batches(pack.batches(objects, reader)):
        pack.add(batch, cleaned)
    if not pack.lost:
        pack.close()
    return [pack.lost[number] for number in sorted(pack.lost)]


def reject(losses: Sequence[Loss], config: Config, draft: Draft) -> None:
    """Writes the pack of files that were lost: no rows, one reason each.

    Their content counts as another than it is, so that no corpus is taken for one that holds it.
    """
    pack = _Pack(draft, config)
    for number, loss in enumerate(losses):
        pack.begin(loss.file)
        pack.reject(number, Rejected(loss.where, loss.reason, ""))
        content = artifacts.sha256(f"{loss.file.sha256}: {loss.reason}".encode())
        pack.sources[number] |= {"sha256": content, "lost": loss.reason}
    pack.close()


@dataclass
class _Pack:
    """The two files of a pack while they are written."""

    draft: Draft
    config: Config
    sources: list[dict[str, Any]] = field(default_factory=list)
    rows: list[pa.Table] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    lost: dict[int, Loss] = field(default_factory=dict)
    size: int = 0
    altered: int = 0

    def __post_init__(self) -> None:
        self.modality = modalities.load(self.config.modality, "ingestion")
        self.columns: Columns = self.modality.COLUMNS
        self.schema = documents(self.columns)
        self.files: list[Fetched] = []
        self.documents = parquet.ParquetWriter(
            self.draft.folder / "documents.parquet", self.schema, **PARQUET
        )
        self.broken = parquet.ParquetWriter(self.draft.folder / "quarantine.parquet", QUARANTINE, **PARQUET)

    def batches(self, objects: Sequence[Object], reader: Child) -> Iterator[Batch]:
        """Has the objects read in their order; the next is asked for ahead, so that no process waits."""
        sent = 0
        for number, (file, following) in enumerate(fetched(objects)):
            for ahead in [file, following][sent - number :]:
                if ahead is not None:
                    reader.send((sent, ahead))
                    sent += 1
            self.begin(file)
            try:
                yield from reader.answer(patience(self.config, file.bytes))
            except Lost as lost:
                self.lost[number] = Loss(file, file.entry.name, told(lost))
            except DataError as error:
                self.lost[number] = Loss(file, error.where or file.entry.name, plainly(error))
            except InternalError as error:
                error.where = error.where or file.entry.name
                raise
        yield from reader.ask(None, patience(self.config, 0))

    def add(self, batch: Batch, cleaned: Cleaned | Culprits) -> None:
        """Appends cleaned documents; of a dropped one only an excerpt is kept."""
        for number, item in batch.rejects:
            self.reject(number, item)
        if isinstance(cleaned, Culprits):
            for index, reason in cleaned.items():
                number, where = batch.places[index]
                self.lost.setdefault(number, Loss(self.files[number], where, reason))
            return
        for index, reason in cleaned.broken.items():
            number, where = batch.places[index]
            self.reject(number, Rejected(where, reason, ""))
        places = [place for index, place in enumerate(batch.places) if index not in cleaned.broken]
        for number, _ in places:
            self.sources[number]["rows"] += 1
        if places:
            self._append(self._table(places, cleaned))
        self.altered += cleaned.altered

    def _append(self, table: pa.Table) -> None:
        self.rows.append(table)
        self.size += sum(table[name].nbytes for name in self.columns.payload)
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

    def begin(self, source: Fetched) -> None:
        """What comes is of this file."""
        entry = source.entry
        self.files.append(source)
        self.sources.append(
            {
                "name": entry.name,
                "identity": entry.identity,
                "sha256": source.sha256,
                "bytes": source.bytes,
                "rows": 0,
                "quarantined": 0,
                "strangers": 0,
            }
        )

    def reject(self, number: int, item: Rejected) -> None:
        """Puts into quarantine what could not be read."""
        self.sources[number]["quarantined"] += 1
        self.sources[number]["strangers"] += isinstance(item, Stranger)
        row = {"source": number, "location": item.where, "reason": item.reason, "excerpt": item.excerpt}
        self.rejects.append(row)
        if len(self.rejects) >= REJECTS:
            self._flush_rejects()

    def _flush_rejects(self) -> None:
        self.broken.write_table(pa.Table.from_pylist(self.rejects, QUARANTINE))
        self.rejects = []


def plainly(error: DataError) -> str:
    """An error in one line, for a table that has its place in another column."""
    parts = [("found", error.found), ("expected", error.expected), ("fix", error.fix)]
    return "; ".join([error.what, *(f"{name}: {value}" for name, value in parts if value)])
