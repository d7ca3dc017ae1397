"""Connected components of a graph on disk, by star contraction; memory holds one partition of its edges.

Kiveris et al., "Connected Components in MapReduce and Beyond", 2014: every node's larger neighbours, then its
smaller ones, are tied to the smallest of all, until each component is a star around its smallest node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.data.partitions import MIXER, Ints, Partitions, first_of_each

EDGE = np.dtype([("left", np.int64), ("right", np.int64)])

Edges = npt.NDArray[Any]


class Graph:
    """Edges from a smaller to a larger node, dealt to partitions by ranges of the larger one.

    Args:
        folder: is made.
        nodes: how many there are; they are 0, 1, 2, ...
        edges: how many there will be, about.
        memory: bytes that it may take.
    """

    def __init__(self, folder: Path, nodes: int, edges: int, memory: int) -> None:
        self._folder, self._size = folder, (nodes, edges, memory)
        self._parts = Partitions(folder, EDGE, edges, memory)
        self._span = max(-(-nodes // len(self._parts)), 1)

    def add(self, left: Ints, right: Ints) -> None:
        """Takes edges; some of them may be there already."""
        rows = np.empty(len(left), EDGE)
        rows["left"], rows["right"] = left, right
        self._parts.add(rows, right // self._span)

    def parts(self) -> Iterator[Edges]:
        """The edges, each once, by the larger node, then by the smaller."""
        for file in range(len(self._parts)):
            rows = self._parts.whole(file)
            rows = rows[np.lexsort((rows["left"], rows["right"]))]
            yield rows[first_of_each(rows["left"], rows["right"])]

    def followers(self) -> Iterator[Ints]:
        """All nodes but the smallest of their component, in order, in parts."""
        graph, before = self, (-1, 0)
        for turn in count():
            both = graph._new(f"both-{turn}", _both)
            graph = both._new(f"large-{turn}", _large)._new(f"small-{turn}", _small)
            found = graph._digest()
            if found == before:
                break
            before = found
        for rows in graph.parts():
            yield rows["right"][first_of_each(rows["right"])]

    def _new(self, name: str, step: Callable[[Edges], Iterator[tuple[Ints, Ints]]]) -> Graph:
        """The graph that a step makes of each part."""
        made = Graph(self._folder.with_name(name), *self._size)
        for rows in self.parts():
            for left, right in step(rows):
                made.add(left, right)
        return made

    def _digest(self) -> tuple[int, int]:
        """Number and hash of the edges, in any order."""
        total = edges = 0
        for rows in self.parts():
            mixed = rows["left"].astype(np.uint64) * MIXER ^ rows["right"].astype(np.uint64)
            total += int((mixed * MIXER ^ mixed >> np.uint64(32)).sum(dtype=np.uint64))
            edges += len(rows)
        return edges, total % (1 << 64)


def _both(rows: Edges) -> Iterator[tuple[Ints, Ints]]:
    """Each edge in both directions: right is the node, left its neighbour."""
    yield rows["left"], rows["right"]
    yield rows["right"], rows["left"]


def _large(rows: Edges) -> Iterator[tuple[Ints, Ints]]:
    """Larger neighbours are tied to the smallest of a node and its neighbours."""
    least = np.minimum(_least(rows), rows["right"])
    larger = rows["left"] > rows["right"]
    yield least[larger], rows["left"][larger]


def _small(rows: Edges) -> Iterator[tuple[Ints, Ints]]:
    """A node and its smaller neighbours are tied to the smallest of these."""
    least = _least(rows)
    others = rows["left"] > least
    yield least, rows["right"]
    yield least[others], rows["left"][others]


def _least(rows: Edges) -> Ints:
    """Of each row, the smallest neighbour of its node: the first of those with one right."""
    first = first_of_each(rows["right"])
    least: Ints = rows["left"][first][np.cumsum(first) - 1]
    return least
