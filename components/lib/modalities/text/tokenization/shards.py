"""Token shards: ids of whole documents, flat and little-endian, and where each document starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from components.lib.storage.store import Draft

Ints = npt.NDArray[np.int64]


class Writer:
    """The shards of one split; a shard is closed by the document that fills it.

    Attributes:
        documents, tokens: what was written.
        dropped: documents that have no tokens.
    """

    def __init__(self, draft: Draft, split: str, most: int) -> None:
        self._draft, self._split, self._most = draft, split, most
        self._count, self._held = 0, 0
        self._file: BinaryIO | None = None
        self._lengths: list[Ints] = []
        self.documents, self.tokens, self.dropped = 0, 0, 0

    def add(self, ids: npt.NDArray[np.unsignedinteger[Any]], lengths: Ints) -> None:
        """Appends documents: `ids` are those of all, one after the other."""
        self.dropped += int((lengths == 0).sum())
        lengths = lengths[lengths > 0]
        self.documents, self.tokens = self.documents + len(lengths), self.tokens + len(ids)
        while len(lengths):
            sums = np.cumsum(lengths)
            fit = int(np.searchsorted(sums, self._most - self._held)) + 1
            fit = min(fit, len(lengths))
            self._append(ids[: sums[fit - 1]], lengths[:fit])
            ids, lengths = ids[sums[fit - 1] :], lengths[fit:]

    def close(self) -> None:
        """Publishes the last shard."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))]).astype("<i8")
        np.save(self._path(".offsets.npy"), offsets)
        for ending in (".bin", ".offsets.npy"):
            self._draft.add(self._path(ending).name, len(offsets) - 1)
        self._count, self._held, self._lengths = self._count + 1, 0, []

    def _append(self, ids: npt.NDArray[np.unsignedinteger[Any]], lengths: Ints) -> None:
        if self._file is None:
            self._file = self._path(".bin").open("wb")
        ids.astype(ids.dtype.newbyteorder("<"), copy=False).tofile(self._file)
        self._lengths.append(lengths)
        self._held += len(ids)
        if self._held >= self._most:
            self.close()

    def _path(self, ending: str) -> Path:
        return self._draft.folder / f"{self._split}-{self._count:05d}{ending}"
