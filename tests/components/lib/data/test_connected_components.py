import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from components.lib.data.connected_components import Graph

NODES = 400


def paths() -> np.ndarray:
    """A path through half of the nodes in random order: the longest way that a label has to go."""
    order = np.random.default_rng(0).permutation(NODES)[: NODES // 2]
    return np.stack([order[:-1], order[1:]])


def sparse() -> np.ndarray:
    return np.random.default_rng(1).integers(0, NODES, (2, NODES // 2))


@pytest.mark.parametrize("memory", [1 << 10, 1 << 20])
@pytest.mark.parametrize("ends", [paths(), sparse(), np.empty((2, 0), np.int64)])
def test_followers_are_all_but_the_smallest_of_each_component(tmp_path, ends, memory):
    left, right = np.sort(ends[:, ends[0] != ends[1]], axis=0)
    graph = Graph(tmp_path / "graph", NODES, len(left), memory)
    for part in np.array_split(np.arange(len(left)), 3):
        graph.add(left[part], right[part])
    found = np.concatenate([np.empty(0, np.int64), *graph.followers()])
    _, labels = connected_components(coo_array((np.ones(len(left)), (left, right)), (NODES, NODES)), False)
    smallest = np.unique(labels, return_index=True)[1]
    assert found.tolist() == sorted({*range(NODES)} - {*smallest.tolist()})
