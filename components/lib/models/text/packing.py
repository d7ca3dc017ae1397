"""Sequence packing: several segments in one row, with little padding, that do not attend to each other."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.lib.engine.device_noise import mixed
from components.lib.engine.randomness import Ints


@dataclass(frozen=True)
class Packed:
    """Packed token rows; segment s is the s-th sample of the batch, whichever row it is in.

    Attributes:
        ids: (R, L) token ids.
        segments: (R, L) s + 1 at the tokens of segment s, 0 at padding.
        positions: (R, L) position in the segment.
        places: (T,) index of each token in the flattened rows, segment after segment.
        starts: (n + 1,) where each segment starts in `places`.
        bounds: (m + 1,) int32 cumulative bounds of segments and gaps in the flattened rows (`cu_seqlens`).
        longest: the longest of those, in tokens.
        whole: every row is one segment without padding, so that no mask is needed.
        flops: of a forward and backward pass of the trunk.
        types: (R, L) 1 at the tokens of a pair's second text, else 0; None where there are no pairs.
    """

    ids: Tensor
    segments: Tensor
    positions: Tensor
    places: Tensor
    starts: Tensor
    bounds: Tensor
    longest: int
    whole: bool
    flops: float = 0.0
    types: Tensor | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return len(self.places)

    def visible(self, *, causal: bool) -> Tensor:
        """(R, 1, L, L) whether a token may look at another: of its own segment, before it if `causal`."""
        seen = self.segments[:, None, :, None] == self.segments[:, None, None, :]
        return seen & torch.ones_like(seen[:1, :1]).tril() if causal else seen

    def token_keys(self, keys: Tensor) -> Tensor:
        """(R, L) dropout keys of tokens, by sample and position, from (n,) of samples; any at padding."""
        return keys[self.segments - 1] ^ mixed(self.positions.to(torch.int32))

    @property
    def slots(self) -> int:
        """Tokens computed on, padding included."""
        return self.ids.numel()


@dataclass(frozen=True)
class Targets:
    """Packed rows with prediction targets.

    Attributes:
        packed: None where another objective's batch holds the rows, of which one pass is made for both.
        places: (m,) indices of the predicted tokens in the flattened rows.
        targets: (m,) token ids, or classes.
        head: FLOPs of what reads those tokens.
        unread: FLOPs of the trunk that a token costs only where it is read.
    """

    packed: Packed | None
    places: Tensor
    targets: Tensor
    head: float
    unread: float = 0.0

    def __len__(self) -> int:
        return len(self.packed) if self.packed is not None else len(self.targets)

    @property
    def weight(self) -> float:
        """Predicted tokens."""
        return float(len(self.targets))

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return self.packed.real if self.packed is not None else 0

    @property
    def slots(self) -> int:
        """Tokens computed on, padding included."""
        return self.packed.slots if self.packed is not None else 0

    @property
    def flops(self) -> float:
        """FLOPs of trunk and head, forward and backward."""
        rows = 0.0 if self.packed is None else self.packed.flops - self.unread * self.packed.real
        return rows + self.unread * len(self.places) + self.head


def additive(visible: Tensor, kind: torch.dtype) -> Tensor:
    """A mask that is added to scores: 0 where a token may look, the lowest number elsewhere.

    A bool mask is silently wrong in eager attention.
    """
    zeros = torch.zeros(visible.shape, dtype=kind, device=visible.device)
    return zeros.masked_fill(~visible, torch.finfo(kind).min)


def framed(
    flat: npt.NDArray[Any], sizes: Ints, frame: Sequence[Ints], length: int, padding: int, texts: int = 1
) -> Packed:
    """Texts in their frame of special tokens, `texts` of them a segment, packed into rows.

    The tokens before a text stand before the first of a segment alone, those behind it after each:
    `[CLS] A [SEP] B [SEP]`.

    Args:
        flat: token ids of all texts.
        sizes: (texts a segment * segments,) tokens of each.
    """
    before, behind = frame
    lead = np.where(np.arange(len(sizes)) % texts == 0, len(before), 0)
    ends = np.cumsum(lead + sizes + len(behind))
    first = (ends - len(behind) - sizes)[::texts]
    whole, inside = np.empty(ends[-1], dtype=np.int64), np.ones(ends[-1], dtype=bool)
    for at, token in enumerate(before):
        whole[first - len(before) + at], inside[first - len(before) + at] = token, False
    for at, token in enumerate(behind):
        whole[ends - len(behind) + at], inside[ends - len(behind) + at] = token, False
    whole[inside] = flat
    packed = pack(whole, np.concatenate([[0], ends[texts - 1 :: texts]]), length, padding)
    if texts == 1:
        return packed
    types = torch.zeros_like(packed.ids).flatten()
    which = np.repeat(np.arange(len(sizes)) % texts, lead + sizes + len(behind))
    types[packed.places] = torch.from_numpy(which)
    return replace(packed, types=types.view_as(packed.ids))


def pack(flat: Ints, starts: Ints, length: int, padding: int) -> Packed:
    """Bin packing of segments `flat[starts[s]:starts[s + 1]]`, none longer than `length`, into rows.

    Best-fit decreasing (Johnson et al., 1974); rows are cut to the fullest one.
    """
    sizes = np.diff(starts)
    row, column, rows = _best_fit(sizes, length)
    width = int((column + sizes).max())
    within = np.arange(len(flat)) - np.repeat(starts[:-1], sizes)
    places = np.repeat(row * width + column, sizes) + within
    ids, segments, positions = (np.zeros(rows * width, dtype=np.int64) for _ in range(3))
    ids[:] = padding
    ids[places] = flat
    segments[places] = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    positions[places] = within
    table = [torch.from_numpy(array.reshape(rows, width)) for array in (ids, segments, positions)]
    whole = rows == len(sizes) and len(flat) == rows * width
    begin = row * width + column
    bounds = np.unique(np.concatenate([begin, begin + sizes, [0, rows * width]])).astype(np.int32)
    flat_places, flat_starts = torch.from_numpy(places), torch.from_numpy(starts)
    longest = int(np.diff(bounds).max())
    return Packed(
        table[0], table[1], table[2], flat_places, flat_starts, torch.from_numpy(bounds), longest, whole
    )


def _best_fit(sizes: Ints, length: int) -> tuple[Ints, Ints, int]:
    """Row and column of each segment, and the number of rows."""
    row, column = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    gaps: list[tuple[int, int]] = []  # (free tokens, row), sorted
    rows = 0
    for segment in np.argsort(-sizes, kind="stable"):
        size = int(sizes[segment])
        at = bisect.bisect_left(gaps, (size, -1))
        if at < len(gaps):
            free, number = gaps.pop(at)
        else:
            free, number, rows = length, rows, rows + 1
        row[segment], column[segment] = number, length - free
        if free > size:
            bisect.insort(gaps, (free - size, number))
    return row, column, rows
