"""Pixel range: the values of images deeper than 8 bits that become 0 to 255, one rule for a whole corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.lib.core.errors import DataError

DEPTHS = (
    8,
    10,
    12,
    14,
    16,
)  # bits of sensors; a corpus of whole numbers has the smallest that holds them all

Range = Sequence[float]  # lowest and highest value; () where no rule is known


def bits(values: npt.NDArray[Any]) -> int:
    """8 of bytes, 16 of other whole numbers, 32 of fractions."""
    return 8 if values.dtype == np.uint8 else 32 if values.dtype.kind == "f" else 16


def extremes(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Lowest and highest value; pixels that are not numbers are passed over."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return float(known.min()), float(known.max())


def of(depths: npt.NDArray[Any], low: npt.NDArray[Any], high: npt.NDArray[Any]) -> tuple[float, float]:
    """The range of a corpus.

    Fractions from 0 to 1 have that range, whole numbers from 0 on that of a depth in bits. All others are
    from the lowest to the highest value of all images.

    Args:
        depths, low, high: (n,) `bits`, lowest and highest value of each image.
    """
    least, most = float(low.min()), float(high.max())
    if least >= 0 and (depths > 16).any() and most <= 1:
        return 0.0, 1.0
    if least >= 0 and not (depths > 16).any() and most < 2 ** DEPTHS[-1]:
        return 0.0, float(2 ** next(depth for depth in DEPTHS if most < 2**depth) - 1)
    return least, most if most > least else least + 1


def check(values: npt.NDArray[Any], limits: Range) -> None:
    """Raises DataError if values are deeper than bytes and there is no range."""
    if values.dtype != np.uint8 and not limits:
        fix = "set ingestion.range, which the trunk then knows: [0, 65535] for 16 bits, [0, 1] for fractions"
        found = "{}, {:g} to {:g}".format(values.dtype, *extremes(values))
        raise DataError("an image has more than 8 bits, and no range is known", found=found, fix=fix)


def scaled(values: npt.NDArray[Any], limits: Range) -> npt.NDArray[np.uint8]:
    """Values as bytes: the range becomes 0 to 255, what is beyond it is cut off; bytes are as they are.

    Pixels that are not numbers, the holes of measurements, are 0. Raises DataError as `check` does.
    """
    check(values, limits)
    if values.dtype == np.uint8:
        return values
    low, high = limits
    shares = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=low, neginf=low) - low) / (high - low)
    return np.rint(255 * shares.clip(0, 1)).astype(np.uint8)


def beyond(values: npt.NDArray[Any], limits: Range) -> bool:
    """Whether something of an image would be cut off."""
    if values.dtype == np.uint8 or not limits:
        return False
    low, high = extremes(values)
    return low < limits[0] or high > limits[1]
