"""The search for near copies over arrays, and in so little memory that it lies on disk in many files."""

import tempfile
from pathlib import Path

import numpy as np

from components.lib.data.near_duplicates import Likeness, NearDuplicates


def near_copies(
    ids: np.ndarray, signatures: np.ndarray, likeness: Likeness, memory: int = 1 << 14
) -> np.ndarray:
    """Marks documents that are alike to one with a smaller id that stays; `ids` are (n, 2), all different."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    with tempfile.TemporaryDirectory() as folder:
        search = NearDuplicates(Path(folder), likeness, signatures.shape[1], len(ids), memory)
        for part in np.array_split(signatures[order], 3):
            search.add(part)
        dropped = np.concatenate([np.empty(0, np.int64), *search.copies()])
    again = np.zeros(len(ids), bool)
    again[order[dropped]] = True
    return again
