"""Packs: cache of the extracted documents of source objects, in the store, for later runs.

A pack is a committed output of its own. It lists its sources by name and identity, so that a later run that
finds the same object again neither reads nor cleans it. What of a pack is used, and in which order, is
decided when the corpus is assembled: packs have no part in what the corpus is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.ingestion.config import Config
from components.ingestion.parquet_rows import Rows
from components.ingestion.record_reader import REJECTS, Batch, Fetched, Place
from components.lib import modalities
from components.lib.data.formats import Account, Rejected
from components.lib.data.listing import Object, PassedOver
from components.lib.modalities import Cleaned, Columns
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Draft, Store

PACK_BYTES = 64 << 20  # of raw input in a pack of small objects; a bigger object has a pack of its own
PACK_OBJECTS = 4096
VERSION = 6  # of what a pack, an index and a corpus hold
TEXT = pa.string()
COUNTED = ("read", "records", "blank", "header", "quarantined")  # of an Account
QUARANTINE = pa.schema([("source", pa.int32()), ("location", TEXT), ("reason", TEXT), ("excerpt", TEXT)])


@dataclass(frozen=True)
class Slice:
    """The rows of one source inside a pack.

    Attributes:
        index: the source's number in the pack.
        offset: its first row.
        source: what the pack states of it: name, identity, sha256, bytes, rows, quarantined, `account` (unit
            -> read, records, blank, header, quarantined, summed over its streams), `notes` (note -> streams),
            `passed_over` (members of an archive that are not data, as `PassedOver.table`), and `lost`, the
            reason, if it could not be decoded to its end.
    """

    pack: Manifest
    index: int
    offset: int
    source: dict[str, Any]


def known(store: Store, stage: str) -> dict[tuple[str, str], Slice]:
    """What the packs of a stage hold, by name and identity of the source."""
    held = {}
    for key in store.objects.keys(f"{stage}/"):
        _, digest, *rest = key.split("/")
        if rest == ["manifest.json"]:
            manifest = store.lookup(stage, digest)
            assert manifest is not None
            held.update(by_source([manifest]))
    return held


def by_source(packs: Sequence[Manifest]) -> dict[tuple[str, str], Slice]:
    """The slices of packs by name and identity of their source."""
    held = {}
    for pack in packs:
        offset = 0
        for index, source in enumerate(pack.facts["sources"]):
            held[source["name"], source["identity"]] = Slice(pack, index, offset, source)
            offset += source["rows"]
    return held


def references(parts: Sequence[Slice], evaluations: Sequence[Manifest]) -> list[str]:
    """What the next run need not read again: it is kept as long as the corpus (lib/registry/retention)."""
    packs = {id(part.pack): part.pack for part in parts}  # thousands of parts share one
    return sorted({held.reference for held in (*packs.values(), *evaluations)})


def dealt(objects: Sequence[Object]) -> Iterator[list[Object]]:
    """Objects dealt to packs: small ones together, in the order of their names."""
    hand: list[Object] = []
    size = 0
    for entry in objects:
        if entry.size >= PACK_BYTES:
            yield [entry]
            continue
        hand.append(entry)
        size += max(entry.size, 0)
        if size >= PACK_BYTES or len(hand) >= PACK_OBJECTS:
            yield hand
            hand, size = [], 0
    if hand:
        yield hand


def key_of(stage: str, config: dict[str, Any], objects: Sequence[Object]) -> Key:
    """The key of a pack of these objects."""
    listing = [[entry.name, entry.identity] for entry in objects]
    return Key(stage, VERSION, config, {"objects": artifacts.sha256(artifacts.canonical(listing))})


class PackWriter:
    """The two files of a pack, documents.parquet and quarantine.parquet, while they are written."""

    def __init__(self, draft: Draft, config: Config) -> None:
        self._draft, self._modality = draft, modalities.load(config.modality, "ingestion")
        columns: Columns = self._modality.COLUMNS
        self._schema, plain = schema(columns, grouped=bool(config.group)), {"use_dictionary": False}
        self._documents = Rows(
            draft.folder / "documents.parquet", self._schema, tuple(columns.payload), **plain
        )
        self._broken = Rows(draft.folder / "quarantine.parquet", QUARANTINE, ("location", "reason"), **plain)
        self._rejects: list[dict[str, Any]] = []
        self._altered = 0
        self._counts = {name: Counter[int]() for name in ("rows", "quarantined")}
        self._accounts: dict[int, dict[str, Counter[str]]] = {}
        self._notes: dict[int, Counter[str]] = {}
        self._passed: dict[int, PassedOver] = {}

    def add(self, batch: Batch, cleaned: Cleaned) -> None:
        """Appends cleaned documents; of a dropped one only an excerpt is kept."""
        for number, item in batch.rejects:
            self.reject(number, item)
        for number, account in batch.accounts:
            self._account(number, account)
        self._passed |= dict(batch.passed)
        for index, reason in cleaned.broken.items():
            number, where = batch.places[index]
            self.reject(number, Rejected(where, reason, ""))
        readable = [index for index in range(len(batch.places)) if index not in cleaned.broken]
        if readable:
            places = [batch.places[index] for index in readable]
            self._counts["rows"].update(number for number, _ in places)
            groups = [batch.groups[index] for index in readable] if batch.groups else []
            self._documents.add(self._table(places, groups, cleaned))
        self._altered += cleaned.altered

    def reject(self, number: int, item: Rejected) -> None:
        """Puts into quarantine what could not be read."""
        self._counts["quarantined"][number] += 1
        row = {"source": number, "location": item.where, "reason": item.reason, "excerpt": item.excerpt}
        self._rejects.append(row)
        if len(self._rejects) >= REJECTS:
            self._flush_rejects()

    def close(self, files: Sequence[Fetched]) -> list[dict[str, Any]]:
        """Publishes both files, and in `facts` the sources in order, which it returns to be added to."""
        self._flush_rejects()
        for name, rows in (("documents", self._documents), ("quarantine", self._broken)):
            rows.close()
            self._draft.add(f"{name}.parquet", rows.count)
        sources = [
            {
                "name": file.entry.name,
                "identity": file.entry.identity,
                "sha256": file.sha256,
                "bytes": file.bytes,
                **{name: counts[number] for name, counts in self._counts.items()},
                "account": {unit: dict(sums) for unit, sums in self._accounts.get(number, {}).items()},
                "notes": dict(self._notes.get(number, {})),
                "passed_over": self._passed.get(number, PassedOver()).table,
            }
            for number, file in enumerate(files)
        ]
        self._draft.facts = {"sources": sources, "altered": self._altered}
        return sources

    def _account(self, number: int, account: Account) -> None:
        """Adds the account of a stream to those of its source."""
        sums = self._accounts.setdefault(number, {}).setdefault(account.unit, Counter())
        sums.update({name: getattr(account, name) for name in COUNTED})
        self._notes.setdefault(number, Counter()).update(account.notes)

    def _table(self, places: list[Place], groups: list[bytes], cleaned: Cleaned) -> pa.Table:
        columns: Columns = self._modality.COLUMNS
        kept = [
            self._modality.excerpt(payload) if reason else payload
            for payload, reason in zip(cleaned.payloads, cleaned.reasons, strict=True)
        ]
        signatures = pa.nulls(len(kept), pa.binary(2 * columns.signature))
        if cleaned.signatures is not None:
            data = pa.py_buffer(cleaned.signatures.astype("<u2").tobytes())
            signatures = pa.FixedSizeBinaryArray.from_buffers(signatures.type, len(kept), [None, data])
        values = {
            "source": [number for number, _ in places],
            "location": [where for _, where in places],
            "id": cleaned.ids,
            "group": groups,
            "reason": cleaned.reasons,
            **{name: [payload[i] for payload in kept] for i, name in enumerate(columns.payload)},
            **cleaned.measures,
            "shared": cleaned.shared,
            "signature": signatures,
        }
        arrays = [pa.array(values[entry.name], entry.type) for entry in self._schema]
        return pa.table(arrays, schema=self._schema)

    def _flush_rejects(self) -> None:
        self._broken.add(pa.Table.from_pylist(self._rejects, QUARANTINE))
        self._rejects = []


def schema(columns: Columns, *, grouped: bool) -> pa.Schema:
    """How the documents of a pack stand in its file."""
    fixed = [("source", pa.int32()), ("location", TEXT), ("id", pa.binary(16))]
    group = [("group", pa.binary(16))] if grouped else []
    payload = [(name, pa.type_for_alias(kind)) for name, kind in columns.payload.items()]
    measures = [(name, pa.int32()) for name in columns.measures]
    signature = [("signature", pa.binary(2 * columns.signature))] if columns.signature else []
    known = [("shared", pa.int8()), *signature]
    return pa.schema([*fixed, *group, ("reason", TEXT), *payload, *measures, *known])
