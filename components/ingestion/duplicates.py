"""Exact and near duplicates among all documents, found on disk in memory that does not grow with them.

Ids are dealt to partitions by their first bits, so that each partition is sorted in memory and its documents
have their ranks among all; bands of signatures are dealt by their hashes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.ingestion.config import Config
from components.ingestion.documents import Catalogue
from components.lib import modalities
from components.lib.core.errors import OutputError
from components.lib.data.near_duplicates import NearDuplicates
from components.lib.data.partitions import Ints, Partitions, Table, first_of_each

CODES = {1: "exact_duplicate", 2: "near_duplicate"}
SPAN = 1 << 20  # documents whose codes are written at once
TOLD = 1 << 30  # bytes of scratch from which on they are told
BANDS = 32 * 16  # bytes of scratch that a document's bands need at most


def scratch(documents: int, words: int) -> int:
    """Bytes on disk at most: partitions of ids are freed as signatures of so many words, and bands, come."""
    return documents * (26 + (2 * words + 8 + BANDS if words else 0))


def check_room(folder: Path, documents: int, config: Config, words: int) -> None:
    """Raises OutputError if the disk of a folder is too small for so many documents."""
    needed = scratch(documents, words if config.near_duplicates else 0)
    free = shutil.disk_usage(folder).free
    if needed > TOLD:
        memory = f"{config.sort_memory / 1e6:,.0f} MB of memory (ingestion.sort_memory)"
        what = f"duplicates among {documents:,} documents take {memory}"
        print(f"ingestion: {what} and about {needed / 1e9:,.1f} GB in {folder.parent}", flush=True)
    if needed > free:
        found, expected = f"{free:,} bytes free", f"about {needed:,} bytes for {documents:,} documents"
        fix = "free space, or set TMPDIR to a larger disk"
        what = "the disk is too small to find duplicates on"
        raise OutputError(what, where=str(folder), found=found, expected=expected, fix=fix)


def find(config: Config, catalogues: Sequence[Catalogue], folder: Path, codes: Path) -> None:
    """Writes a code for each document: first copies, then near-copies of what the filters left.

    Args:
        folder: for scratch.
        codes: the file, a byte a document.
    """
    modality = modalities.load(config.modality, "ingestion")
    count, memory = sum(one.count for one in catalogues), config.sort_memory
    near, words = config.near_duplicates, modality.COLUMNS.signature if config.near_duplicates else 0
    drops = Partitions(folder / "drops", [("row", np.int64), ("code", np.uint8)], 0, memory)
    drops.bits = (count // SPAN).bit_length()
    search = None
    if near:
        (folder / "near").mkdir()
        search = NearDuplicates(folder / "near", modality.likeness(near), words, count, memory)
    places = Table(folder / "places", np.int64)
    for rows, signatures in _copies(catalogues, folder / "ids", words, memory, drops):
        if search is not None:
            places.add(rows)
            search.add(signatures)
    places.close()
    if search is not None:
        for ranks in search.copies():
            _drop(drops, places.take(ranks).ravel(), 2)
        shutil.rmtree(folder / "near")
    with codes.open("wb") as file:
        for span in range(-(-count // SPAN)):
            known = np.zeros(min(SPAN, count - span * SPAN), np.uint8)
            for chunk in drops.chunks(span):
                known[chunk["row"] - span * SPAN] = chunk["code"]
            known.tofile(file)


def _copies(
    catalogues: Sequence[Catalogue], folder: Path, words: int, memory: int, drops: Partitions
) -> Iterator[tuple[Ints, npt.NDArray[np.uint16]]]:
    """Drops all but the first of documents with one id; rows and signatures of the rest that stay, by id."""
    fields = [("high", np.uint64), ("low", np.uint64), ("row", np.int64), ("open", bool)]
    kind = np.dtype([*fields, *([("signature", np.uint16, (words,))] if words else [])])
    ids = Partitions(folder, kind, sum(one.count for one in catalogues), memory)
    for catalogue in catalogues:
        for block in catalogue.blocks(signatures=bool(words)):
            records = np.empty(len(block.rows), kind)
            records["high"], records["low"] = block.ids.T
            records["row"], records["open"] = block.rows, block.kept
            if words:
                records["signature"] = block.signatures
            ids.add(records, ids.upper(block.ids[:, 0]))
    for file in range(len(ids)):
        known = np.empty(0, kind)
        for chunk in ids.chunks(file):
            known = np.concatenate([known, chunk])
            known = known[np.lexsort((known["row"], known["low"], known["high"]))]
            first = first_of_each(known["high"], known["low"])
            _drop(drops, known["row"][~first], 1)
            known = known[first]
        ids.drop(file)
        left = known[known["open"]]
        yield left["row"], left["signature"] if words else np.empty((len(left), 0), np.uint16)


def _drop(drops: Partitions, rows: Ints, code: int) -> None:
    records = np.empty(len(rows), drops.dtype)
    records["row"], records["code"] = rows, code
    drops.add(records, records["row"] // SPAN)
