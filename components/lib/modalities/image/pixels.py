"""Memory-mapped image shards: images of one size as one array on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.core.errors import IntegrityError, InternalError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class PixelShards:
    """The images of one split, in the order of the corpus; nothing is read before it is gathered.

    Attributes:
        height, width, channels: of every image.
        mean, std: (channels,) of the training split, of pixels as numbers from 0 to 1.
        fresh: how many of the images, the first ones, are of `manifest` and not of `older`.

    Raises:
        IntegrityError: if the shards are not what was committed, or hold images of another size.
    """

    def __init__(self, store: Store, manifest: Manifest, split: str, *older: Manifest) -> None:
        facts: dict[str, Any] = manifest.facts
        self.height, self.width, self.channels = (int(facts[n]) for n in ("height", "width", "channels"))
        self.mean, self.std = (np.asarray(facts[name], np.float32) for name in ("mean", "std"))
        shape = (self.height, self.width, self.channels)
        own, *others = (
            [_mapped(store.open(owner, name), shape) for name in owner.names(f"{split}-", ".npy")]
            for owner in (manifest, *older)
        )
        self._shards, self.fresh = sum(others, own), sum(map(len, own))
        self._bounds: Ints = np.cumsum([0, *map(len, self._shards)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def gather(self, ids: Ints) -> Pixels:
        """(n, height, width, channels): the images at these places, in this order."""
        if len(ids) and not (ids.min() >= 0 and ids.max() < len(self)):
            raise InternalError("there is no such image", found=int(ids.max()), expected=f"< {len(self)}")
        if len(self._shards) == 1:
            return self._shards[0][ids]
        pixels = np.empty((len(ids), self.height, self.width, self.channels), np.uint8)
        owners = np.searchsorted(self._bounds, ids, side="right") - 1
        for owner in np.unique(owners):
            rows = np.flatnonzero(owners == owner)
            pixels[rows] = self._shards[owner][ids[rows] - self._bounds[owner]]
        return pixels


def _mapped(path: Path, shape: tuple[int, int, int]) -> Pixels:
    array: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape[1:] != shape or array.dtype != np.uint8:
        what = "a shard holds other images than its manifest tells"
        expected = f"uint8 {shape}"
        found = f"{array.dtype} {array.shape[1:]}"
        raise IntegrityError(what, where=str(path), found=found, expected=expected)
    return array
