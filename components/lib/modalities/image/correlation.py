"""Near duplicates of images, by correlation of small grey pictures.

A signature is the grey picture at 16 x 16 with mean 0 and length 1; two images are as similar as theirs
correlate. Neither JPEG nor another size or brightness changes it much, and it tells one handwritten digit
from another, which the 64 bits of the usual perceptual hashes do not; their finer bits are noise where a
picture is smooth. Pairs are found by the signs of random projections (Charikar, "Similarity estimation
techniques from rounding algorithms", 2002).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.lib.data import deduplication, images
from components.lib.data.images import Pixels
from components.lib.data.pixel_range import scaled

SIDE = 16  # of the grey picture
SIZE = SIDE * SIDE
UNIT = 32767  # a signature's length, as its numbers are whole
BITS = 16  # of a word of signs; with as many words, 5 of 10 million pairs at 0.995 are missed
PART = 4096  # images that are worked on at once
REACH = 64  # neighbours that are compared among the images which share a word
Signatures = npt.NDArray[np.uint16]  # (images, SIZE), to be seen as signed numbers
Floats = npt.NDArray[np.float32]


def shrunk(values: npt.NDArray[Any]) -> Pixels:
    """(SIDE, SIDE) grey; one of more than 8 bits by its own extremes: correlation does not see them."""
    deep = values.dtype != np.uint8
    low, high = (float(values.min()), float(values.max())) if deep else (0.0, 255.0)
    pixels = scaled(values, (low, high if high > low else low + 1))
    grey = images.picture(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(grey)


def signatures(small: Sequence[Pixels]) -> Signatures:
    """Grey pictures with mean 0 and length UNIT; one without contrast is 0."""
    if not len(small):
        return np.empty((0, SIZE), np.uint16)
    values = np.stack(small).reshape(len(small), -1).astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    scaled = np.divide(values * UNIT, lengths, out=np.zeros_like(values), where=lengths > 0)
    return np.rint(scaled).astype(np.int16).view(np.uint16)


def unit(found: Signatures) -> Floats:
    """Signatures as vectors of length 1: their products are correlations."""
    return found.view(np.int16).astype(np.float32) / np.float32(UNIT)


def near_copies(ids: npt.NDArray[np.uint64], found: Signatures, threshold: float) -> npt.NDArray[np.bool_]:
    """Marks images that are similar to one with a smaller id, if only by others in between."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    leader = np.arange(len(ids))
    for left, right in _pairs(np.ascontiguousarray(found[order]), threshold):
        deduplication.join(leader, left, right)
    again = np.zeros(len(ids), bool)
    again[order] = deduplication.roots(leader) != np.arange(len(ids))
    return again


def _pairs(
    found: Signatures, threshold: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of rows that correlate so: of those that share a word of signs, each with its next ones."""
    for word in words(found).T:
        order = np.argsort(word, kind="stable")
        bounds = np.flatnonzero(np.r_[True, np.diff(word[order]) != 0, True])
        for shift in range(1, min(int(np.diff(bounds).max(initial=1)), REACH)):
            same = word[order[shift:]] == word[order[:-shift]]
            left, right = order[:-shift][same], order[shift:][same]
            for start in range(0, len(left), PART):
                one, other = left[start : start + PART], right[start : start + PART]
                alike = np.einsum("ij,ij->i", unit(found[one]), unit(found[other])) >= threshold
                yield one[alike], other[alike]


def words(found: Signatures) -> npt.NDArray[np.uint16]:
    """(images, 16) words of the signs of projections on fixed random directions."""
    directions = np.random.default_rng(42).standard_normal((SIZE, BITS * BITS)).astype(np.float32)
    parts = [np.empty((0, BITS), np.uint16)]
    for start in range(0, len(found), PART):
        signs = unit(found[start : start + PART]) @ directions > 0
        parts.append(np.packbits(signs, axis=1).view(np.uint16))
    return np.concatenate(parts)
