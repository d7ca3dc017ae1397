"""Packs to the corpus: decide over all documents at once, then stream what stays into shards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from components.ingestion import card
from components.ingestion.config import Config
from components.ingestion.documents import CONTAMINATED, COPY, KEPT, NEAR, Documents
from components.ingestion.plan import Slice
from components.ingestion.shards import QUARANTINE, Shards
from components.ingestion.statistics import Statistics
from components.lib import modalities
from components.lib.core.errors import DataError
from components.lib.data import deduplication
from components.lib.data.ranges import ranges
from components.lib.modalities import Columns
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store


def assemble(
    config: Config,
    store: Store,
    parts: Sequence[Slice],
    evaluations: Sequence[Manifest],
    draft: Draft,
    older: Sequence[Slice] = (),
) -> None:
    """Writes the corpus' files and facts.

    Args:
        older: sources that an earlier corpus holds: copies of their documents are no news.

    Raises:
        DataError: if no document is left for training, or none for validation where some are wanted.
    """
    runs = list(_runs(parts))
    modality = modalities.load(config.modality, "ingestion")
    documents = _decided(config, store, parts, older)
    shards = Shards(draft, modality, config.shard_bytes)
    start = 0
    for run in runs:
        for table in _payloads(store, run, list(modality.COLUMNS.payload)):
            stop = start + len(table)
            shards.add(
                table,
                documents.reasons[start:stop],
                documents.validation[start:stop],
                documents.ids[start:stop],
            )
            start = stop
    shards.close()
    broken = quarantined(store, parts)
    parquet.write_table(broken, draft.folder / "quarantine.parquet", compression="zstd")
    draft.add("quarantine.parquet", len(broken))
    found = _found(documents, store, evaluations)
    statistics = Statistics.of(documents, parts, found, shards, config, modality)
    draft.write("statistics.json", json.dumps(statistics.to_dict(), indent=1, sort_keys=True))
    draft.write("card.html", card.render(statistics, modality))
    draft.facts = statistics.facts()


def quarantined(store: Store, parts: Sequence[Slice]) -> pa.Table:
    """The unreadable records of all sources: source, location, reason, excerpt."""
    tables = []
    for part in parts:
        if part.source["quarantined"]:
            table = parquet.read_table(store.open(part.pack, "quarantine.parquet"))
            table = table.filter(pa.compute.equal(table["source"], part.index))
            names = pa.array([part.source["name"]] * len(table), pa.string())
            tables.append(table.set_column(0, "source", names))
    return pa.concat_tables([QUARANTINE.empty_table(), *tables])


def _runs(parts: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Neighbours in the corpus that are neighbours in a pack too, so that they are read as one."""
    run: list[Slice] = []
    for part in parts:
        if run and (part.pack is not run[-1].pack or part.index != run[-1].index + 1):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _load(store: Store, parts: Sequence[Slice], columns: Columns, *, signatures: bool) -> Documents:
    """Every column but the payload, brought from the packs into the corpus' order."""
    counts = np.array([part.source["rows"] for part in parts], np.int64)
    offsets = np.array([part.offset for part in parts], np.int64)
    starts = np.cumsum(counts) - counts
    members: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        members.setdefault(part.pack.uri, []).append(number)
    documents = Documents.empty(int(counts.sum()), columns.measures, columns.signature if signatures else 0)
    names = ["id", "reason", "shared", *columns.measures, *(["signature"] if signatures else [])]
    for numbers in members.values():
        path = store.open(parts[numbers[0]].pack, "documents.parquet")
        table = parquet.read_table(path, columns=names, use_threads=False)
        take = ranges(offsets[numbers], counts[numbers])
        documents.put(ranges(starts[numbers], counts[numbers]), table.take(take).combine_chunks())
    return documents


def _decided(config: Config, store: Store, parts: Sequence[Slice], older: Sequence[Slice]) -> Documents:
    """The documents of `parts`, each with the reason why it is dropped; older ones come first and stay."""
    modality = modalities.load(config.modality, "ingestion")
    every = [*older, *parts]
    documents = _load(store, every, modality.COLUMNS, signatures=config.near_duplicates > 0)
    _decide(documents, config, modality)
    documents = documents.from_row(sum(part.source["rows"] for part in older))
    _check(documents, config)
    return documents


def _decide(documents: Documents, config: Config, modality: Any) -> None:
    """First copies, then filters (already decided), then near-copies, then contamination."""
    reasons = documents.reasons
    reasons[deduplication.copies(documents.ids)] = COPY
    kept = np.flatnonzero(reasons == KEPT)
    if config.near_duplicates:
        found = documents.ids[kept], documents.signatures[kept]
        reasons[kept[modality.near_copies(*found, config.near_duplicates)]] = NEAR
        kept = np.flatnonzero(reasons == KEPT)
    reasons[kept[documents.shared[kept] > 0]] = CONTAMINATED
    # The lower half of the id decides: survivors of near-duplicates are small in the upper half.
    documents.validation = documents.ids[:, 1] < np.uint64(config.validation * 2.0**63) * np.uint64(2)


def _check(documents: Documents, config: Config) -> None:
    """Raises DataError if a split is empty."""
    kept = documents.reasons == KEPT
    train, validation = int((kept & ~documents.validation).sum()), int((kept & documents.validation).sum())
    names = (reason.partition(":")[0] for reason in documents.reasons if reason)
    dropped = ", ".join(f"{name}: {count:,}" for name, count in sorted(Counter(names).items()))
    found = f"read {len(kept):,}, dropped by {dropped or 'nothing'}"
    if not train:
        fix = "add data, or loosen the rules of ingestion"
        raise DataError("no document is left for training", where="ingestion", found=found, fix=fix)
    if config.validation and not validation and not config.since:  # else the earlier corpus has one
        fix = "add documents, raise ingestion.validation, or set it to 0"
        what = f"none of {train} documents fell into the validation split"
        raise DataError(what, where="ingestion.validation", found=found, fix=fix)


def _payloads(store: Store, run: list[Slice], columns: list[str]) -> Iterator[pa.Table]:
    """Source (its name), location and payload of a run's rows, a row group at a time."""
    names = {part.index: part.source["name"] for part in run}
    start, stop = run[0].offset, run[-1].offset + run[-1].source["rows"]
    with parquet.ParquetFile(store.open(run[0].pack, "documents.parquet")) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            low, high = max(start, first), min(stop, first + rows)
            if low < high:
                table = file.read_row_group(group, columns=["source", "location", *columns])
                table = table.slice(low - first, high - low)
                sources = [names[index] for index in table["source"].to_pylist()]
                yield table.set_column(0, "source", pa.array(sources, pa.string()))
            first += rows


def _found(documents: Documents, store: Store, evaluations: Sequence[Manifest]) -> list[dict[str, Any]]:
    """For each evaluation set: how many documents it has, and how many of them stand in the sources."""
    equal = {row.tobytes() for row in documents.ids[documents.shared == 2].astype(">u8")}
    rows = []
    for index in evaluations:
        ids = np.load(store.open(index, "index/ids.npy"))
        found = sum(row.tobytes() in equal for row in ids)
        rows.append({"source": index.facts["source"], "documents": len(ids), "found": found})
    return rows
