"""What was asked for beside what was answered, drawn over an image: masks and boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw

from components.lib.data.images import Pixels, picture, png

SIDE = 112  # pixels that a picture is drawn with, at least
GAP = 4
PAPER = 255
COLOURS = np.array(
    [[0, 0, 0], [230, 97, 1], [0, 120, 220], [27, 158, 119], [231, 41, 138], [117, 80, 200], [230, 171, 2]],
    np.uint8,
)  # the first belongs to class 0, the ground of a mask, and is not drawn

Drawn = npt.NDArray[np.uint8]  # (height, width, 3)


def masks(pixels: Pixels, *found: npt.NDArray[np.int64]) -> bytes:
    """A PNG: the image, then the image under each mask (height, width) of class places; 0 is clear."""
    plain = _colour(pixels)
    tinted = [
        np.where(mask[:, :, None] > 0, plain // 2 + COLOURS[_cycle(mask)] // 2, plain) for mask in found
    ]
    return _strip([plain, *tinted])


def boxes(pixels: Pixels, *found: Iterable[Sequence[float]]) -> bytes:
    """A PNG: the image under each set of (class place, left, top, right, bottom)."""
    factor = _factor(pixels)
    drawn = []
    for objects in found:
        one = picture(_enlarged(_colour(pixels)))
        pen = ImageDraw.Draw(one)
        for kind, *sides in objects:
            left, top, right, bottom = (round(side * factor) for side in sides)
            corners = (left, top, max(left, right - 1), max(top, bottom - 1))
            pen.rectangle(corners, outline=tuple(COLOURS[_cycle(np.int64(kind) + 1)].tolist()), width=2)
        drawn.append(np.asarray(one))
    return _strip(drawn)


def heat(pixels: Pixels, scores: npt.NDArray[np.float64]) -> bytes:
    """A PNG: the image, then it in grey under what speaks for a class (blue) and against it (orange).

    Args:
        scores: (height, width); the largest 1 % have the full colour.
    """
    plain = _colour(pixels)
    grey = plain.mean(axis=2, keepdims=True).repeat(3, axis=2) / 2 + PAPER / 2
    strength = np.clip(np.abs(scores) / max(float(np.quantile(np.abs(scores), 0.99)), 1e-12), 0, 1)[..., None]
    colour = np.where(scores[..., None] > 0, COLOURS[2], COLOURS[1])
    return _strip([plain, (grey * (1 - strength) + colour * strength).astype(np.uint8)])


def _cycle(places: npt.NDArray[np.int64] | np.int64) -> npt.NDArray[np.int64]:
    """Colours of classes: the first is for place 0 alone."""
    return np.where(np.asarray(places) > 0, (np.asarray(places) - 1) % (len(COLOURS) - 1) + 1, 0)


def _colour(pixels: Pixels) -> Drawn:
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def _factor(pixels: Pixels) -> int:
    return max(1, -(-SIDE // max(pixels.shape[:2])))


def _enlarged(canvas: Drawn) -> Drawn:
    factor = _factor(canvas)
    return canvas.repeat(factor, axis=0).repeat(factor, axis=1)


def _strip(parts: Sequence[Drawn]) -> bytes:
    """Side by side; small ones enlarged by a whole factor."""
    cells = [part if max(part.shape[:2]) >= SIDE else _enlarged(part) for part in parts]
    gap = np.full((cells[0].shape[0], GAP, 3), PAPER, np.uint8)
    return png(np.concatenate([piece for cell in cells for piece in (cell, gap)][:-1], axis=1))
