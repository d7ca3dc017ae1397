"""Selection of documents: duplicates, decontamination and split, decided of all, then told block by block."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.ingestion import duplicates
from components.ingestion.config import Config
from components.ingestion.documents import Catalogue, Documents, Hashes, distinct
from components.ingestion.evaluation_index import GROUPS
from components.ingestion.packs import Slice
from components.lib import modalities
from components.lib.core.errors import DataError
from components.lib.data.partitions import Ints
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

CONTAMINATED, CONTAMINATED_GROUP = "contaminated", "contaminated_group"
TRAIN, VALIDATION, NEITHER = range(3)


@dataclass
class Survey:
    """Counts over decided documents.

    Attributes:
        kept, held_out: documents that stay, and those of them in the validation split.
        least, most: of the hashes that choose the validation split, of documents that stay.
        at_least: how many have the least one.
        dropped: rule -> documents.
        groups: split -> number of groups.
        all_groups: number of groups.
    """

    kept: int = 0
    held_out: int = 0
    least: int = 1 << 64
    most: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    all_groups: int = 0


@dataclass
class Selection:
    """What is decided of all documents.

    Attributes:
        catalogue: the new documents.
        codes: a byte for each document, of `duplicates.CODES`; 0: it stays.
        theirs: groups of evaluation sets.
        lone: the hash of what is held out where none falls into the share.
        settled: facts that the modality finds of all documents at once, and `notices` of them.
    """

    config: Config
    catalogue: Catalogue
    codes: Path
    theirs: npt.NDArray[np.void]
    lone: int | None = None
    settled: dict[str, Any] = field(default_factory=dict)
    survey: Survey = field(default_factory=Survey)

    def decide(self, block: Documents) -> npt.NDArray[np.bool_]:
        """Sets the reasons of a block; returns (n,) which documents are held out."""
        codes = self._codes(block.rows)
        for code, reason in duplicates.CODES.items():
            block.reasons[codes == code] = reason
        block.reasons[block.kept & (block.shared > 0)] = CONTAMINATED
        if self.config.group:
            ours = np.ascontiguousarray(block.groups.astype(">u8")).view("V16").ravel()
            block.reasons[block.kept & np.isin(ours, self.theirs)] = CONTAMINATED_GROUP
        # The lower half of the id decides: survivors of near-duplicates are small in the upper half.
        hashes = self.hashes(block)[:, 1]
        if self.lone is not None:
            return hashes == np.uint64(self.lone)
        return hashes < np.uint64(self.config.validation * 2.0**63) * np.uint64(2)

    def hashes(self, block: Documents) -> Hashes:
        """What a document's split goes by."""
        return block.groups if self.config.group else block.ids

    def _codes(self, rows: Ints) -> npt.NDArray[np.uint8]:
        """Of documents at these places, which are runs of neighbours."""
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        runs = zip(rows[starts].tolist(), np.diff(np.append(starts, len(rows))).tolist(), strict=True)
        return np.concatenate([np.fromfile(self.codes, np.uint8, count, offset=row) for row, count in runs])


@contextmanager
def selected(
    config: Config,
    store: Store,
    parts: Sequence[Slice],
    evaluations: Sequence[Manifest],
    older: Sequence[Slice],
) -> Iterator[Selection]:
    """Decisions about the documents of `parts`, on disk as long as they are used.

    Args:
        older: sources that an earlier corpus holds: their documents come first, and stay.

    Raises:
        DataError: if no document is left for training, or none for validation where some are wanted.
        OutputError: if the disk for scratch has too little space.
    """
    modality = modalities.load(config.modality, "ingestion")
    grouped = bool(config.group)
    known = Catalogue(store, older, modality.COLUMNS, grouped=grouped)
    new = Catalogue(store, parts, modality.COLUMNS, begin=known.count, grouped=grouped)
    tested = [np.load(store.open(one, GROUPS)) for one in evaluations if GROUPS in one.names("index/")]
    theirs = np.concatenate([np.empty((0, 16), np.uint8), *tested]).view("V16").ravel()
    with tempfile.TemporaryDirectory(prefix="trunkline-") as name:
        folder = Path(name)
        duplicates.check_room(folder, known.count + new.count, config, modality.COLUMNS.signature)
        selection = Selection(config, new, folder / "codes", theirs, settled=_settle(new, config, folder))
        duplicates.find(config, [known, new], folder, selection.codes)
        _survey(selection, folder)
        few = selection.survey
        if config.validation and not older and few.least < few.most and not few.held_out:
            selection.lone = few.least
            print(
                f"ingestion: {few.kept} documents are few: the one of the lowest hash is held out", flush=True
            )
            _survey(selection, folder)
        _check(selection)
        yield selection


@dataclass
class Settling:
    """The new documents before copies are dropped, as `settle` of a modality sees them."""

    catalogue: Catalogue
    folder: Path
    memory: int

    def blocks(self) -> Iterator[Documents]:
        """All of them; reasons may be changed, and are forgotten."""
        return self.catalogue.blocks()

    def distinct(self, keys: Iterator[npt.NDArray[np.uint64]]) -> dict[int, int]:
        """How many different (n, 3) keys there are by the last number of each, a kind."""
        try:
            return distinct(keys, self.folder, self.catalogue.count, self.memory)
        finally:
            shutil.rmtree(self.folder)


def _settle(new: Catalogue, config: Config, folder: Path) -> dict[str, Any]:
    """What the modality finds of all new documents, where it looks; sets what it drops of them."""
    modality = modalities.load(config.modality, "ingestion")
    if not hasattr(modality, "settle"):
        return {}
    held = new.store.resolve(config.since).facts if config.since else {}
    documents = Settling(new, folder / "settling", config.sort_memory)
    facts, notices, new.late = modality.settle(documents, config.own, held)
    return {**facts, "notices": notices}


def _survey(selection: Selection, folder: Path) -> None:
    """Counts what is decided."""
    found, config = Survey(), selection.config

    def groups() -> Iterator[npt.NDArray[np.uint64]]:
        for block in selection.catalogue.blocks():
            held_out = selection.decide(block)
            _count(found, block, held_out, selection.hashes(block)[:, 1])
            if config.group:
                split = np.where(block.kept, np.where(held_out, VALIDATION, TRAIN), NEITHER)
                whole = np.full(len(block.rows), NEITHER + 1)
                yield from (np.column_stack([block.groups, one.astype(np.uint64)]) for one in (split, whole))

    counts = distinct(groups(), folder / "groups", 2 * selection.catalogue.count, config.sort_memory)
    shutil.rmtree(folder / "groups")
    if config.group:
        found.groups = {"train": counts.get(TRAIN, 0), "validation": counts.get(VALIDATION, 0)}
        found.all_groups = counts[NEITHER + 1]
    found.dropped = dict(sorted(found.dropped.items()))
    selection.survey = found


def _count(found: Survey, block: Documents, held_out: npt.NDArray[np.bool_], hashes: Any) -> None:
    kept = block.kept
    found.kept += int(kept.sum())
    found.held_out += int((kept & held_out).sum())
    if kept.any():
        found.least = min(found.least, int(hashes[kept].min()))
        found.most = max(found.most, int(hashes[kept].max()))
    for reason in block.reasons[~kept]:
        rule = reason.partition(":")[0]
        found.dropped[rule] = found.dropped.get(rule, 0) + 1


def _check(selection: Selection) -> None:
    """Raises DataError if a split is empty."""
    config, survey = selection.config, selection.survey
    train, validation = survey.kept - survey.held_out, survey.held_out
    dropped = ", ".join(f"{name}: {count:,}" for name, count in survey.dropped.items())
    found = f"read {selection.catalogue.count:,}, dropped by {dropped or 'nothing'}"
    if config.group:
        found += f", in {survey.all_groups:,} groups"
    if not train:
        fix = "add data, or loosen the rules of ingestion"
        raise DataError("no document is left for training", where="ingestion", found=found, fix=fix)
    if config.validation and not validation and not config.since:  # else the earlier corpus has one
        fix = "add documents" + (", or take a field of more groups" if config.group else "")
        what = f"none of {train} documents fell into the validation split"
        raise DataError(what, where="ingestion.validation", found=found, fix=fix)
