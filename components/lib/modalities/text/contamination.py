"""Decontamination by n-grams: evaluation sets as an index of fingerprints of runs of words.

A document is contaminated if it equals an evaluation document, or if the runs of n words that both have are
at least a given share of either of them: a short test text inside a long page counts, one quoted phrase or
a shared signature does not. (One shared run of 13 words, the rule of Brown et al. 2020, would drop 36 % of
20 Newsgroups, where people quote one another.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.lib.data.ranges import ranges
from components.lib.modalities.text.words import Fingerprints, WordBatch

COMMON = 16  # a run that stands in more evaluation documents than this is a phrase of the genre


@dataclass(frozen=True)
class Index:
    """What is known of an evaluation set.

    Attributes:
        ids: identities of its documents.
        runs: fingerprints of all runs of n words, sorted, with repetitions.
        owners: the document of each run.
        totals: how many distinct runs each document has.
        table: whether any run begins with these bits, so that most lookups end at once.
        shift: how far a run is shifted to its first bits.
    """

    ids: frozenset[bytes]
    runs: Fingerprints
    owners: npt.NDArray[np.int32]
    totals: npt.NDArray[np.int32]
    table: npt.NDArray[np.bool_]
    shift: np.uint64

    @classmethod
    def open(cls, folder: Path) -> Index:
        """Reads what `save` wrote; the arrays are memory-mapped."""
        ids = np.load(folder / "ids.npy")
        runs, owners = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("runs", "owners"))
        shift = np.uint64(64 - max(len(runs).bit_length() + 4, 8))
        table = np.zeros(1 << (64 - int(shift)), bool)
        table[runs >> shift] = True
        totals = np.load(folder / "totals.npy")
        return cls(frozenset(row.tobytes() for row in ids), runs, owners, totals, table, shift)

    def overlaps(
        self, flat: Fingerprints, offsets: npt.NDArray[np.int64], least: float
    ) -> npt.NDArray[np.int8]:
        """1 for each document that shares at least `least` of its runs, or of an evaluation document's."""
        met = np.flatnonzero(self.table[flat >> self.shift])
        first = np.searchsorted(self.runs, flat[met])
        equal = self.runs[np.minimum(first, len(self.runs) - 1)] == flat[met]
        met, first = met[equal], first[equal]
        documents = np.searchsorted(offsets, met, "right") - 1
        count = len(offsets) - 1
        sizes = np.maximum(np.diff(offsets), 1)
        shared = np.bincount(documents, minlength=count) / sizes >= max(least, 1e-9)
        shared[self._covered(flat[met], first, documents, least)] = True
        return shared.astype(np.int8)

    def _covered(
        self, met: Fingerprints, first: npt.NDArray[np.int64], documents: npt.NDArray[np.int64], least: float
    ) -> npt.NDArray[np.int64]:
        """Documents that hold at least `least` of the distinct runs of one evaluation document.

        Args:
            met: runs that stand in the evaluation set; `first` is their place in it.
            documents: the document of each run.
        """
        order = np.lexsort((met, documents))
        met, first, documents = met[order], first[order], documents[order]
        fresh = np.ones(len(met), bool)
        fresh[1:] = (met[1:] != met[:-1]) | (documents[1:] != documents[:-1])
        met, first, documents = met[fresh], first[fresh], documents[fresh]
        counts = np.searchsorted(self.runs, met, "right") - first
        counts[counts > COMMON] = 0
        owners = self.owners[ranges(first, counts)].astype(np.int64)
        keys, hits = np.unique(np.repeat(documents, counts) << 32 | owners, return_counts=True)
        enough = hits >= max(least, 1e-9) * self.totals[keys & 0xFFFFFFFF]
        return np.unique(keys[enough] >> 32)


def save(folder: Path, ids: list[bytes], words: list[WordBatch], ngram: int) -> None:
    """Writes the index of evaluation documents, given batch by batch."""
    runs, owners, count = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], 0
    for batch in words:
        flat, offsets = batch.runs(ngram)
        runs.append(flat)
        owners.append(np.repeat(np.arange(count, count + len(offsets) - 1, dtype=np.int32), np.diff(offsets)))
        count += len(offsets) - 1
    flat, owner = np.concatenate(runs), np.concatenate(owners)
    order = np.argsort(flat, kind="stable")
    flat, owner = flat[order], owner[order]
    fresh = np.ones(len(flat), bool)  # a run counts once a document; equal ones are neighbours now
    fresh[1:] = (flat[1:] != flat[:-1]) | (owner[1:] != owner[:-1])
    np.save(folder / "ids.npy", np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16))
    np.save(folder / "runs.npy", flat[fresh])
    np.save(folder / "owners.npy", owner[fresh])
    np.save(folder / "totals.npy", np.bincount(owner[fresh], minlength=count).astype(np.int32))
