"""Near duplicates of images, by correlation of small pictures, as a whole and place by place.

A signature is the picture at 32 x 32 in brightness and 8 x 8 in colour, with mean brightness 0, deviation 1.
Two images are as similar as theirs correlate, and no more than the worst of 64 places allows: neither JPEG
nor another size nor a little more light changes that much, but a scratch on one of two views of a part does,
and so does another colour, or one handwritten digit for another, which the bits of perceptual hashes do not
tell apart. Pairs are found by the signs of random projections (Charikar, "Similarity estimation techniques
from rounding algorithms", 2002). An image is compared with those that are kept: likeness does not chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.lib.data import images
from components.lib.data.images import Pixels
from components.lib.data.near_duplicates import Likeness
from components.lib.data.pixel_range import extremes, scaled

SIDE, COLOURS = 32, 8  # of the picture in brightness, and in each of two colour channels
GREY, TINTS = SIDE * SIDE, 2 * COLOURS * COLOURS
SIZE = (GREY + TINTS + 2) // 2  # words of 16 bits
NEUTRAL = 128  # no colour
UNIT, LEVEL, MOST = 32, 32, 127  # a deviation, a factor of e in brightness, and the largest number
COLOUR = 2.0  # weight of the colour channels
# How many times as much as the whole may differ: one place of 8 x 8 (where JPEG blurs the edges of colours),
# the colour of one area of 4 x 4, the brightness and contrast of all.
PLACE, AREA, BRIGHTER = 4.0, 1.5, 4.0
COARSE = 16  # side of the picture that candidates are found by
BITS = 16  # of a word of signs; with as many words, 5 of 10 million pairs at 0.995 are missed
PART = 4096  # images that are worked on at once
REACH = 64  # neighbours that are compared among the images which share a word
Signatures = npt.NDArray[np.uint16]  # (images, SIZE), to be seen as pairs of signed bytes
Floats = npt.NDArray[np.float32]


def shrunk(values: npt.NDArray[Any]) -> Pixels:
    """(GREY + TINTS,) brightness at 32 x 32, then two colours at 8 x 8, place by place.

    An image of more than 8 bits is scaled by its own extremes: the range of its corpus is not known yet.
    """
    low, high = extremes(values) if values.dtype != np.uint8 else (0.0, 255.0)
    image = images.picture(scaled(values, (low, high if high > low else low + 1)))
    flat = np.full(GREY + TINTS, NEUTRAL, np.uint8)
    how: dict[str, Any] = {"resample": Image.Resampling.BILINEAR, "reducing_gap": 1.5}
    flat[:GREY] = np.asarray(image.convert("L").resize((SIDE, SIDE), **how)).ravel()
    if image.mode != "L":
        flat[GREY:] = np.asarray(image.resize((COLOURS, COLOURS), **how).convert("YCbCr"))[:, :, 1:].ravel()
    return flat


def signatures(small: Sequence[Pixels]) -> Signatures:
    """Small pictures with mean brightness 0 and deviation 1, then the logarithms of mean and deviation."""
    if not len(small):
        return np.empty((0, SIZE), np.uint16)
    values = np.stack(small).astype(np.float32)
    grey, tints = values[:, :GREY], values[:, GREY:]
    means = grey.mean(axis=1, keepdims=True)
    grey -= means
    tints -= NEUTRAL
    tints *= COLOUR
    spread = np.square(grey).mean(axis=1) + tints.reshape(len(small), -1, 2).var(axis=1).sum(axis=1)
    deviation = np.sqrt(np.maximum(spread, 4.0))[:, None]  # 2 grey values: less is noise
    values *= UNIT / deviation
    levels = LEVEL * np.log(np.concatenate([(means + 8) / NEUTRAL, deviation / UNIT], axis=1))
    rounded = np.rint(np.concatenate([values, levels], axis=1)).clip(-MOST, MOST)
    return rounded.astype(np.int8).view(np.uint16)


def similarity(left: Signatures, right: Signatures) -> Floats:
    """Of each pair: the correlation, or what the place where they differ most allows, if that is less."""
    apart = left.view(np.int8).astype(np.float32) - right.view(np.int8)
    apart[:, : GREY + TINTS] /= UNIT
    apart[:, GREY + TINTS :] /= LEVEL
    step, tints = SIDE // COLOURS, apart[:, GREY : GREY + TINTS]
    areas = tints.reshape(-1, COLOURS // 2, 2, COLOURS // 2, 2, 2).mean(axis=(2, 4))
    np.square(apart, out=apart)
    places = apart[:, :GREY].reshape(-1, COLOURS, step, COLOURS, step).mean(axis=(2, 4))
    places += tints.reshape(-1, COLOURS, COLOURS, 2).sum(axis=3)
    worst = [
        places.mean(axis=(1, 2)),
        places.max(axis=(1, 2), initial=0) / PLACE,
        np.square(areas).sum(axis=3).max(axis=(1, 2), initial=0) / AREA,
        apart[:, GREY + TINTS :].max(axis=1, initial=0) / BRIGHTER,
    ]
    similar: Floats = 1 - np.max(worst, axis=0) / 2
    return similar


def alike(found: Signatures, others: Signatures, threshold: float) -> npt.NDArray[np.bool_]:
    """(images,) whether one of the others is as similar; all of them are compared."""
    marked, coarse = np.zeros(len(found), bool), _coarse(others)
    for start in range(0, len(found), PART):
        near = _coarse(found[start : start + PART]) @ coarse.T
        rows, columns = np.nonzero(near >= threshold - 0.01)  # rounded, and smaller: a little less alike
        for at in range(0, len(rows), PART):
            one, other = rows[at : at + PART], columns[at : at + PART]
            marked[start + one[similarity(found[start + one], others[other]) >= threshold]] = True
    return marked


def likeness(threshold: float) -> Likeness:
    """Images are compared with their next ones among those that share a word of signs.

    Args:
        threshold: similarity from which one of two images is a copy.
    """

    def bands(found: Signatures) -> npt.NDArray[np.uint64]:
        return words(found).astype(np.uint64)

    def close(left: Signatures, right: Signatures) -> npt.NDArray[np.bool_]:
        near = _apart(left, right) <= 2 * (1 - threshold)
        near[near] = similarity(left[near], right[near]) >= threshold
        return near

    return Likeness(bands, close, reach=REACH, chains=False)


def _apart(left: Signatures, right: Signatures) -> Floats:
    """Mean squared difference in brightness of each pair: no more than `similarity` counts, and faster."""
    apart = left.view(np.int8)[:, :GREY].astype(np.float32)
    apart -= right.view(np.int8)[:, :GREY]
    mean: Floats = np.einsum("ij,ij->i", apart, apart) / np.float32(GREY * UNIT * UNIT)
    return mean


def words(found: Signatures) -> npt.NDArray[np.uint16]:
    """(images, 16) words of the signs of projections on fixed random directions."""
    directions = np.random.default_rng(42).standard_normal((COARSE * COARSE, BITS * BITS)).astype(np.float32)
    parts = [np.empty((0, BITS), np.uint16)]
    for start in range(0, len(found), PART):
        signs = _coarse(found[start : start + PART]) @ directions > 0
        parts.append(np.packbits(signs, axis=1).view(np.uint16))
    return np.concatenate(parts)


def _coarse(found: Signatures) -> Floats:
    """(images, COARSE * COARSE) brightness alone, of length 1: products are correlations."""
    step = SIDE // COARSE
    grey = found.view(np.int8)[:, :GREY].astype(np.float32)
    small = grey.reshape(-1, COARSE, step, COARSE, step).mean(axis=(2, 4)).reshape(len(found), -1)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    coarse: Floats = np.divide(small, length, out=np.zeros_like(small), where=length > 0)
    return coarse
