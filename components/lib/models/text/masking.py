"""Random masking of packed tokens: which may be hidden, and each one's numbers by its sample and position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.lib.engine.randomness import Draw
from components.lib.models.text.packing import Packed


def numbers(packed: Packed, draw: Draw, *streams: str) -> list[npt.NDArray[np.float64]]:
    """(T,) uniform numbers in [0, 1) a stream, whatever else is in the batch."""
    sizes = packed.starts.diff().numpy()
    owner, place = _places(packed)
    longest = int(sizes.max())
    return [draw.uniform(stream, longest)[owner, place] for stream in streams]


def hideable(packed: Packed) -> npt.NDArray[np.bool_]:
    """(T,) false at the first and the last token of a segment, and at that between the texts of a pair."""
    owner, place = _places(packed)
    inner = (place > 0) & (place < packed.starts.diff().numpy()[owner] - 1)
    if packed.types is not None:
        types = packed.types.flatten()[packed.places].numpy()
        inner[:-1] &= types[1:] <= types[:-1]
    return inner


def _places(packed: Packed) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(T,) segment of each token, and its position there."""
    sizes = packed.starts.diff().numpy()
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return owner, np.arange(len(owner)) - np.repeat(packed.starts[:-1].numpy(), sizes)
