"""Labelled clips of any length, and padded batches of them, for tasks on audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.engine.randomness import Ints
from components.lib.modalities.audio.recordings import Waveform
from components.lib.modalities.audio.views import normalised

MOST = 1 << 24  # samples of a batch where a model only reads: 35 clips of 30 seconds at 16 kHz
IGNORED = -100  # cross_entropy's index for "no target here"


@dataclass(frozen=True)
class ClipSet:
    """Clips with their targets.

    Attributes:
        waveforms: of each clip.
        targets: of each clip a class, or a list of the tokens that are spoken.
        normalize: whether inputs have mean 0 and variance 1.
        padded: whether clips of other lengths may be in a batch where a model only reads.
    """

    waveforms: list[Waveform]
    targets: list[Any]
    normalize: bool = True
    padded: bool = True

    def __len__(self) -> int:
        return len(self.waveforms)

    def subset(self, chosen: Sequence[int] | Ints) -> ClipSet:
        """The clips at these places, in this order."""
        return replace(
            self, waveforms=[self.waveforms[i] for i in chosen], targets=[self.targets[i] for i in chosen]
        )

    def batch(self, chosen: Sequence[int] | Ints) -> Padded:
        """These clips, padded to the longest."""
        part = self.subset(chosen)
        waves, lengths = padded(part.waveforms, 0, np.int16)
        if part.targets and isinstance(part.targets[0], list):
            targets, _ = padded(part.targets, IGNORED, np.int64)
        else:
            targets = np.asarray(part.targets, np.int64)
        tensors = [torch.from_numpy(array) for array in (waves, lengths, targets)]
        return Padded(tensors[0], tensors[1], tensors[2], self.normalize)

    def batches(self, size: int) -> list[Ints]:
        """Places in batches of similar length, for inference without much padding."""
        lengths = np.array([len(one) for one in self.waveforms], np.int64)
        order = np.argsort(lengths, kind="stable")
        bounds = [] if self.padded else (np.flatnonzero(np.diff(lengths[order])) + 1).tolist()
        alike = np.split(order, bounds)
        found = []
        for part in alike:
            while len(part):
                some = part[:size]
                fitting = (np.arange(1, len(some) + 1) * lengths[some] <= MOST).sum()
                found.append(some[: max(1, int(fitting))])
                part = part[len(found[-1]) :]
        return found


def padded(rows: Sequence[Any], filler: int, dtype: Any) -> tuple[Any, Ints]:
    """Rows of any length as one array, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int64)
    table = np.full((len(rows), max(1, int(lengths.max(initial=1)))), filler, dtype)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table, lengths


@dataclass(frozen=True)
class Padded:
    """(n, samples) int16 waves and their (n,) lengths; targets are (n,) or (n, tokens)."""

    waves: Tensor
    lengths: Tensor
    targets: Tensor
    normalize: bool = True

    def __len__(self) -> int:
        return len(self.waves)

    @property
    def weight(self) -> float:
        """Clips."""
        return float(len(self.waves))

    @property
    def real(self) -> int:
        """Samples that carry data."""
        return int(self.lengths.sum())

    @property
    def slots(self) -> int:
        """Samples that are computed."""
        return self.waves.numel()

    def arguments(self, model: Any = None) -> dict[str, Tensor]:
        """Of a pass of a model of `transformers`: inputs with mean 0 and variance 1, and which are real."""
        real = torch.arange(self.waves.shape[1], device=self.waves.device) < self.lengths[:, None]
        values = self.waves.float() / 32768
        values = normalised(values, real) if self.normalize else values
        return {"input_values": values, "attention_mask": real.long()}
