"""Near duplicates by MinHash and LSH banding: texts whose signatures agree in enough places.

The survivor of a group is the one with the smallest id, so the result does not depend on the order in which
documents came.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.lib.data.near_duplicates import Likeness, Signatures

MISS = 0.01  # share of true pairs at the threshold that banding may overlook


def likeness(permutations: int, threshold: float) -> Likeness:
    """Of MinHash signatures.

    Args:
        permutations: numbers of a signature.
        threshold: estimated Jaccard similarity from which two documents count as one.
    """
    rows = rows_of_a_band(permutations, threshold)

    def bands(signatures: Signatures) -> npt.NDArray[np.uint64]:
        starts = range(0, permutations - rows + 1, rows)
        return np.stack([_hashes(signatures[:, start : start + rows]) for start in starts], axis=1)

    def alike(left: Signatures, right: Signatures) -> npt.NDArray[np.bool_]:
        similar: npt.NDArray[np.bool_] = (left == right).mean(axis=1) >= threshold
        return similar

    return Likeness(bands, alike)


def rows_of_a_band(permutations: int, threshold: float) -> int:
    """The most rows with which banding overlooks at most MISS of the pairs at the threshold."""
    for rows in range(32, 1, -1):
        if (1 - threshold**rows) ** (permutations // rows) <= MISS:
            return rows
    return 1


def _hashes(band: Signatures) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row; a collision costs one more comparison of signatures."""
    total = np.zeros(len(band), np.uint64)
    for column in band.T:
        total = (total ^ column) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total
