"""Selection of documents: exact and near duplicates, decontamination and split, over all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from components.ingestion.config import Config
from components.ingestion.evaluation_index import GROUPS
from components.ingestion.packs import Slice
from components.lib import modalities
from components.lib.core.errors import DataError
from components.lib.data import deduplication
from components.lib.data.ranges import ranges
from components.lib.modalities import Columns
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

KEPT, COPY, NEAR, CONTAMINATED = "", "exact_duplicate", "near_duplicate", "contaminated"
CONTAMINATED_GROUP = "contaminated_group"
Hashes = npt.NDArray[np.uint64]


@dataclass
class Documents:
    """What is known of all documents, in the corpus' order; the payloads stay on disk.

    Attributes:
        ids: (n, 2) of 64 bits.
        reasons: (n,) why a document is dropped, 'rule: what was found'; '' if it is kept.
        measures: name -> (n,) numbers.
        shared: (n,) 1 if it overlaps with an evaluation document, 2 if it equals one.
        signatures: (n, words) of 16 bits.
        groups: (n, 2) of 64 bits, or (0, 2) if documents have no groups.
        validation: (n,) whether it is held out.
        settled: facts that the modality finds of all documents at once, and `notices` of them.
    """

    ids: Hashes
    reasons: npt.NDArray[np.object_]
    measures: dict[str, npt.NDArray[np.int32]]
    shared: npt.NDArray[np.int8]
    signatures: npt.NDArray[np.uint16]
    groups: Hashes
    validation: npt.NDArray[np.bool_]
    settled: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(
        cls, store: Store, parts: Sequence[Slice], columns: Columns, *, signatures: bool, groups: bool
    ) -> Documents:
        """Every column of the packs but the payload, brought into the corpus' order."""
        counts = np.array([part.source["rows"] for part in parts], np.int64)
        offsets = np.array([part.offset for part in parts], np.int64)
        starts = np.cumsum(counts) - counts
        members: dict[str, list[int]] = {}
        for number, part in enumerate(parts):
            members.setdefault(part.pack.uri, []).append(number)
        count, words = int(counts.sum()), columns.signature if signatures else 0
        documents = cls(
            ids=np.zeros((count, 2), np.uint64),
            reasons=np.full(count, KEPT, object),
            measures={name: np.zeros(count, np.int32) for name in columns.measures},
            shared=np.zeros(count, np.int8),
            signatures=np.zeros((count, words), np.uint16),
            groups=np.zeros((count if groups else 0, 2), np.uint64),
            validation=np.zeros(count, bool),
        )
        names = ["id", "reason", "shared", *columns.measures]
        names += [*(["signature"] if signatures else []), *(["group"] if groups else [])]
        for numbers in members.values():
            path = store.open(parts[numbers[0]].pack, "documents.parquet")
            table = parquet.read_table(path, columns=names, use_threads=False)
            take = ranges(offsets[numbers], counts[numbers])
            documents._put(ranges(starts[numbers], counts[numbers]), table.take(take).combine_chunks())
        return documents

    def from_row(self, start: int) -> Documents:
        """Those from `start` on."""
        other = ("measures", "settled")
        arrays = {name: values[start:] for name, values in vars(self).items() if name not in other}
        measures = {name: one[start:] for name, one in self.measures.items()}
        return Documents(measures=measures, settled=self.settled, **arrays)

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a document stays."""
        kept: npt.NDArray[np.bool_] = self.reasons == KEPT
        return kept

    @property
    def splits(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Split -> (n,) whether a document is in it."""
        return {"train": self.kept & ~self.validation, "validation": self.kept & self.validation}

    @property
    def dropped(self) -> dict[str, int]:
        """Rule -> how many documents it dropped."""
        names = Counter(reason.partition(":")[0] for reason in self.reasons[~self.kept])
        return dict(sorted(names.items()))

    def _put(self, places: npt.NDArray[np.int64], table: pa.Table) -> None:
        """Sets what a pack knows of the documents at `places`."""
        self.ids[places] = _fixed(table["id"], np.dtype(">u8"))
        self.reasons[places] = table["reason"].to_numpy()
        self.shared[places] = table["shared"].to_numpy()
        for name, numbers in self.measures.items():
            numbers[places] = table[name].to_numpy()
        if self.signatures.shape[1]:
            self.signatures[places] = _fixed(table["signature"], np.dtype("<u2"))
        if len(self.groups):
            self.groups[places] = _fixed(table["group"], np.dtype(">u8"))


def select(
    config: Config,
    store: Store,
    parts: Sequence[Slice],
    evaluations: Sequence[Manifest],
    older: Sequence[Slice],
) -> Documents:
    """The documents of `parts`, each with its split or the reason why it is dropped.

    Args:
        older: sources that an earlier corpus holds: their documents come first, and stay.

    Raises:
        DataError: if no document is left for training, or none for validation where some are wanted.
    """
    modality = modalities.load(config.modality, "ingestion")
    options = {"signatures": config.near_duplicates > 0, "groups": bool(config.group)}
    documents = Documents.load(store, [*older, *parts], modality.COLUMNS, **options)
    first = sum(part.source["rows"] for part in older)
    if hasattr(modality, "settle"):
        held = store.resolve(config.since).facts if config.since else {}
        facts, notices = modality.settle(documents.from_row(first), config.own, held)
        documents.settled = {**facts, "notices": notices}
    _decide(documents, config, modality)
    if config.group:
        tested = [np.load(store.open(one, GROUPS)) for one in evaluations if GROUPS in one.names("index/")]
        _split_groups(documents, config, tested)
    if config.validation and not older:
        _hold_one_out(documents, documents.groups if config.group else documents.ids)
    documents = documents.from_row(first)
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
    documents.validation = _held_out(documents.ids, config.validation)


def _split_groups(documents: Documents, config: Config, tested: Sequence[npt.NDArray[np.uint8]]) -> None:
    """A group is on one side of the split, and not trained on if an evaluation set has it."""
    documents.validation = _held_out(documents.groups, config.validation)
    theirs = np.concatenate([np.empty((0, 16), np.uint8), *tested]).view("V16").ravel()
    ours = np.ascontiguousarray(documents.groups.astype(">u8")).view("V16").ravel()
    documents.reasons[documents.kept & np.isin(ours, theirs)] = CONTAMINATED_GROUP


def _hold_one_out(documents: Documents, hashes: Hashes) -> None:
    """Little data, of which no document falls into the share: holds out those with the lowest hash."""
    kept = documents.kept
    few = hashes[kept, 1]
    if len(np.unique(few)) > 1 and not documents.validation[kept].any():
        documents.validation = hashes[:, 1] == few.min()
        print(f"ingestion: {len(few)} documents are few: the one of the lowest hash is held out", flush=True)


def _held_out(hashes: Hashes, share: float) -> npt.NDArray[np.bool_]:
    """(n,) whether the lower half of a hash is in the lowest share of all."""
    return hashes[:, 1] < np.uint64(share * 2.0**63) * np.uint64(2)


def _check(documents: Documents, config: Config) -> None:
    """Raises DataError if a split is empty."""
    train, validation = (int(mask.sum()) for mask in documents.splits.values())
    dropped = ", ".join(f"{name}: {count:,}" for name, count in documents.dropped.items())
    found = f"read {len(documents.ids):,}, dropped by {dropped or 'nothing'}"
    if config.group:
        found += f", in {len(np.unique(documents.groups, axis=0)):,} groups"
    if not train:
        fix = "add data, or loosen the rules of ingestion"
        raise DataError("no document is left for training", where="ingestion", found=found, fix=fix)
    if config.validation and not validation and not config.since:  # else the earlier corpus has one
        fix = "add documents" + (", or take a field of more groups" if config.group else "")
        what = f"none of {train} documents fell into the validation split"
        raise DataError(what, where="ingestion.validation", found=found, fix=fix)


def _fixed(column: pa.ChunkedArray, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A column of fixed-size binaries as (rows, numbers)."""
    array = column.combine_chunks()
    width = array.type.byte_width
    data = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width :][: len(array) * width]
    return data.view(dtype).reshape(len(array), width // dtype.itemsize)
