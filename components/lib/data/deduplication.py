"""Deduplication: exact duplicates by hash, near duplicates by MinHash and LSH banding.

The survivor of a group of near-duplicates is the one with the smallest id, so the result does not depend
on the order in which documents came.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MISS = 0.01  # share of true pairs at the threshold that banding may overlook

Signatures = npt.NDArray[np.uint16]


def copies(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Marks every row whose id stood in an earlier row. `ids` is (n, 2)."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    again = np.zeros(len(ids), bool)
    again[order[1:]] = (ids[order[1:]] == ids[order[:-1]]).all(axis=1)
    return again


def near_copies(
    ids: npt.NDArray[np.uint64], signatures: Signatures, threshold: float
) -> npt.NDArray[np.bool_]:
    """Marks documents that are similar to one with a smaller id.

    Args:
        ids: (n, 2), all different.
        signatures: (n, permutations).
        threshold: estimated Jaccard similarity from which two documents count as one.
    """
    if len(ids) < 2:
        return np.zeros(len(ids), bool)
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(len(ids))
    leader = np.arange(len(ids))  # by rank
    for left, right in _candidates(signatures[order], threshold):
        join(leader, left, right)
    again: npt.NDArray[np.bool_] = (roots(leader) != np.arange(len(ids)))[rank]
    return again


def rows_of_a_band(permutations: int, threshold: float) -> int:
    """The most rows with which banding overlooks at most MISS of the pairs at the threshold."""
    for rows in range(32, 1, -1):
        if (1 - threshold**rows) ** (permutations // rows) <= MISS:
            return rows
    return 1


def _candidates(
    signatures: Signatures, threshold: float
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs that share a band and whose signatures agree enough: with the first and the one before."""
    permutations = signatures.shape[1]
    rows = rows_of_a_band(permutations, threshold)
    found = []
    for start in range(0, permutations - rows + 1, rows):
        bucket = _hashes(signatures[:, start : start + rows])
        order = np.argsort(bucket, kind="stable")
        first = np.r_[True, bucket[order][1:] != bucket[order][:-1]]
        heads = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
        before = np.r_[order[:1], order[:-1]]
        for other in (heads, before):
            pick = ~first
            left, right = other[pick], order[pick]
            alike = _similarity(signatures, left, right) >= threshold
            found.append((left[alike], right[alike]))
    return found


def _hashes(band: Signatures) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row; a collision costs one more comparison of signatures."""
    total = np.zeros(len(band), np.uint64)
    for column in band.T:
        total = (total ^ column) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total


def _similarity(
    signatures: Signatures, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Share of equal entries of each pair, in pieces that fit in memory."""
    pieces = [
        (signatures[left[at : at + 65536]] == signatures[right[at : at + 65536]]).mean(axis=1)
        for at in range(0, len(left), 65536)
    ]
    return np.concatenate(pieces) if pieces else np.empty(0)


def join(leader: npt.NDArray[np.int64], left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> None:
    """Union of each pair; the smaller root leads."""
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        while leader[a] != a:
            a = leader[a]
        while leader[b] != b:
            b = leader[b]
        if a != b:
            leader[max(a, b)] = min(a, b)


def roots(leader: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The one that leads each group."""
    while True:
        above = leader[leader]
        if (above == leader).all():
            return leader
        leader = above
