"""What evaluation sets hold, of contents with an identity and a small picture: a corpus keeps none of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.data import correlation
from components.lib.data.images import Pixels


class Tested:
    """The contents of evaluation sets, in folders that `Collector` wrote."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._ids = {row.tobytes() for folder in folders for row in np.load(folder / "ids.npy")}
        found = [np.load(folder / "signatures.npy") for folder in folders]
        self._signatures = np.concatenate([np.empty((0, correlation.SIZE), np.uint16), *found])

    def shared(
        self, ids: Sequence[bytes], signatures: correlation.Signatures, threshold: float
    ) -> npt.NDArray[np.int8]:
        """Of each: 2 if it is one of these, 1 if it correlates with one by the threshold (0: off), else 0."""
        shared = np.zeros(len(ids), np.int8)
        if threshold and len(self._signatures):
            shared[correlation.alike(signatures, self._signatures, threshold)] = 1
        shared[[name in self._ids for name in ids]] = 2
        return shared


class Collector:
    """Makes the index of an evaluation set.

    Args:
        known: identity of 16 bytes, and small picture, of a payload.
    """

    def __init__(self, known: Callable[[Any], tuple[bytes, Pixels]]) -> None:
        self._known = known
        self._found: list[tuple[bytes, Pixels]] = []

    def add(self, payload: Any) -> None:
        """Takes one payload."""
        self._found.append(self._known(payload))

    def save(self, folder: Path) -> int:
        """Writes the index; returns how many contents it has."""
        ids = b"".join(identity for identity, _ in self._found)
        np.save(folder / "ids.npy", np.frombuffer(ids, np.uint8).reshape(-1, 16))
        np.save(folder / "signatures.npy", correlation.signatures([small for _, small in self._found]))
        return len(self._found)
