"""Memory-mapped waveform shards: clips of any length one after the other, with their ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.core.errors import IntegrityError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

Ints = npt.NDArray[np.int64]


class WaveformShards:
    """The clips of one split, in the order of the corpus; nothing but their ends is read before it is used.

    Attributes:
        rate: samples a second.
        lengths: (clips,) samples of each.
        fresh: how many of the clips, the first ones, are of `manifest` and not of `older`.

    Raises:
        IntegrityError: if the shards are not what was committed.
    """

    def __init__(self, store: Store, manifest: Manifest, split: str, *older: Manifest) -> None:
        self.rate = int(manifest.facts["rate"])
        own, *others = ([*_opened(store, one, split)] for one in (manifest, *older))
        shards = sum(others, own)
        self.fresh = sum(len(ends) for _, ends in own)
        self._waveforms = [waveform for waveform, _ in shards]
        ends = [ends for _, ends in shards]
        self._owners: Ints = np.repeat(np.arange(len(shards)), [len(one) for one in ends])
        none = np.empty(0, np.int64)
        self._starts: Ints = np.concatenate([none, *(np.r_[0, one[:-1]] for one in ends if len(one))])
        self.lengths: Ints = np.concatenate([none, *(np.diff(one, prepend=0) for one in ends)])

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, clip: int, begin: int = 0, count: int | None = None) -> npt.NDArray[np.int16]:
        """`count` samples of a clip; fewer where it ends."""
        whole = int(self.lengths[clip])
        stop = whole if count is None else min(whole, begin + count)
        start = int(self._starts[clip])
        found: npt.NDArray[np.int16] = self._waveforms[self._owners[clip]][start + begin : start + stop]
        return found


def _opened(store: Store, manifest: Manifest, split: str) -> Any:
    for name in manifest.names(f"{split}-", ".npy"):
        if name.endswith(".ends.npy"):
            continue
        waveform = np.load(store.open(manifest, name), mmap_mode="r", allow_pickle=False)
        ends = np.load(store.open(manifest, f"{name.removesuffix('.npy')}.ends.npy"), allow_pickle=False)
        total = int(ends[-1]) if len(ends) else 0
        if waveform.dtype != np.int16 or waveform.shape != (total,):
            what, found = "a shard holds other clips than its ends tell", f"{waveform.dtype} {waveform.shape}"
            raise IntegrityError(what, where=name, found=found, expected=f"int16 ({total},)")
        yield waveform, ends
