"""Near duplicates by banding, on disk: pairs of equal bands, compared, then one survivor of those alike.

Memory holds one partition at a time, not all documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.data.connected_components import EDGE, Graph
from components.lib.data.partitions import Ints, Partitions, Table, first_of_each

BAND = np.dtype([("hash", np.uint64), ("rank", np.int64)])
BLOCK = 2048  # neighbours in a bucket whose candidates are compared at once
PART = 4096  # pairs of them
PAIRS = 64  # bytes of pairs that a document has on average, at most

Signatures = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Likeness:
    """How signatures of a modality tell near copies.

    Attributes:
        bands: signatures -> (documents, bands) hashes; documents that share one are candidates.
        alike: signatures of the left and of the right documents of pairs -> which pairs are alike.
        reach: with how many of its neighbours in a bucket a document is compared; 0: with the first and with
            the one before.
        chains: whether what is alike to a copy goes with it; else it is compared with those that stay alone.
    """

    bands: Callable[[Signatures], npt.NDArray[np.uint64]]
    alike: Callable[[Signatures, Signatures], npt.NDArray[np.bool_]]
    reach: int = 0
    chains: bool = True


class NearDuplicates:
    """Search among documents that are added in the order of their ranks: of a group, the first stays.

    Args:
        folder: for scratch, about `documents * (2 * words + 16 * bands)` bytes.
        words: of 16 bits in a signature.
        documents: how many there will be, at most.
        memory: bytes that it may take.
    """

    def __init__(self, folder: Path, likeness: Likeness, words: int, documents: int, memory: int) -> None:
        self._folder, self._likeness, self._memory = folder, likeness, memory
        self._documents = documents
        self._signatures = Table(folder / "signatures", np.uint16, words, memory // 2)
        self._bands: list[Partitions] = []
        self._graphs = 0

    def add(self, signatures: Signatures) -> None:
        """Takes (n, words) signatures of the next documents."""
        ranks = np.arange(self._signatures.count, self._signatures.count + len(signatures))
        self._signatures.add(signatures)
        for number, hashes in enumerate(self._likeness.bands(signatures).T):
            if number == len(self._bands):
                made = Partitions(self._folder / f"band-{number}", BAND, self._documents, self._memory)
                self._bands.append(made)
            rows = np.empty(len(ranks), BAND)
            rows["hash"], rows["rank"] = hashes, ranks
            self._bands[number].add(rows, self._bands[number].mixed(rows["hash"]))
        self._spill()

    def copies(self) -> Iterator[Ints]:
        """The ranks of documents that are not to stay, in parts."""
        self._signatures.close()
        if self._likeness.chains:
            yield from self._graph(np.empty(0, np.int64)).followers()
            return
        dropped = more = _greedy(self._graph(np.empty(0, np.int64)))
        while len(more):  # those beyond the reach of the one that they are like have their turn
            more = _greedy(self._graph(dropped))
            dropped = np.union1d(dropped, more)
        yield dropped

    def _spill(self) -> None:
        """All bands together hold no more than one may."""
        held = sum(band.held for band in self._bands)
        if held >= self._memory // 4:
            for band in self._bands:
                band.flush()

    def _graph(self, without: Ints) -> Graph:
        """Pairs that are alike among all but `without`."""
        folder = self._folder / f"graph-{self._graphs}"
        folder.mkdir()
        self._graphs += 1
        edges = self._documents * PAIRS // EDGE.itemsize
        graph = Graph(folder / "alike", self._signatures.count, edges, self._memory)
        for band in self._bands:
            for file in range(len(band)):
                for left, right in self._alike(band, file, without):
                    graph.add(left, right)
        return graph

    def _alike(self, band: Partitions, file: int, without: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Pairs of one file of a band, the smaller rank first."""
        known = np.empty(0, BAND)
        for chunk in band.chunks(file):
            if len(without):
                chunk = chunk[~np.isin(chunk["rank"], without)]
            rows = np.concatenate([known, chunk])
            fresh = np.arange(len(rows)) >= len(known)
            order = np.argsort(rows["hash"], kind="stable")  # they came by rank
            rows, fresh = rows[order], fresh[order]
            first = first_of_each(rows["hash"])
            for left, right in self._candidates(rows["rank"], first, fresh):
                yield from self._compared(left, right)
            known = self._ends(rows, first)

    def _candidates(
        self, ranks: Ints, first: npt.NDArray[np.bool_], fresh: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[Ints, Ints]]:
        """Pairs of a sorted chunk to be compared; of those, at least one is fresh."""
        heads = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
        places, reach = np.flatnonzero(~first & fresh), self._likeness.reach
        for start in range(0, len(places), BLOCK):
            at = places[start : start + BLOCK]
            farthest = int((at - heads[at]).max())
            shifts = range(1, min(farthest + 1, reach) if reach else 2)
            pairs = [(at - shift, at) for shift in shifts]
            pairs = [(left[left >= heads[at]], right[left >= heads[at]]) for left, right in pairs]
            if not reach:
                pairs.append((heads[at], at))
            left, right = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
            yield ranks[left], ranks[right]

    def _compared(self, left: Ints, right: Ints) -> Iterator[tuple[Ints, Ints]]:
        """The candidates that are alike."""
        needed, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        signatures = self._signatures.take(needed)
        one, other = np.split(places, 2)
        for start in range(0, len(left), PART):
            piece = slice(start, start + PART)
            close = self._likeness.alike(signatures[one[piece]], signatures[other[piece]])
            yield left[piece][close], right[piece][close]

    def _ends(self, rows: npt.NDArray[Any], first: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """What later documents of the same buckets are compared with: the first ones, and the last ones."""
        starts = np.flatnonzero(first)
        sizes = np.diff(np.append(starts, len(rows)))
        left = np.repeat(sizes, sizes) - (np.arange(len(rows)) - np.repeat(starts, sizes))
        kept: npt.NDArray[Any] = rows[first | (left < max(self._likeness.reach, 2))]
        return kept


def _greedy(graph: Graph) -> Ints:
    """Nodes that are like a smaller one which stays, sorted; memory holds the nodes that have edges."""
    nodes = np.unique(
        np.concatenate([np.unique(rows[end]) for rows in graph.parts() for end in ("left", "right")])
    )
    dropped = np.zeros(len(nodes), bool)
    for rows in graph.parts():
        ends = (np.searchsorted(nodes, rows[end]).tolist() for end in ("left", "right"))
        for one, other in zip(*ends, strict=True):
            dropped[other] |= not dropped[one]
    return nodes[dropped]
