"""Average precision of boxes, as COCO has it, for many weightings of the same images at once.

The matching of an image's boxes does not depend on other images: it is done once, and kept as a few bits.
What depends on the weights are sums along the order of all boxes by their score. Equal to pycocotools
(areaRng all, no crowds), which the test compares with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

OVERLAPS = np.linspace(0.5, 0.95, 10)  # intersection over union from which a box is right
RECALLS = np.linspace(0, 1, 101)  # points of the curve of precision over recall
CELLS = 4_000_000  # numbers held at once


def matched(kinds: Array, boxes: Array, real: Array) -> Array:
    """(d,) bits: bit t is set if the box is the one of a true object at the overlap t.

    Args:
        kinds, boxes: (d,) and (d, 4) of what was found, surest first.
        real: (k, 5) kinds and boxes of the true objects; each is given to one box at most.
    """
    shared = np.where(kinds[:, None] == real[:, 0], overlap(boxes, real[:, 1:]), -1.0)
    taken = np.zeros((len(OVERLAPS), len(real)), bool)
    bits = np.zeros(len(kinds), np.int64)
    for number, row in enumerate(shared if len(real) else ()):
        free = np.where(taken, -1.0, row)
        best = free.argmax(axis=1)
        hit = np.flatnonzero(free.max(axis=1) >= OVERLAPS)
        taken[hit, best[hit]] = True
        bits[number] = (1 << hit).sum()
    return bits


def overlap(one: Array, other: Array) -> Array:
    """(n, m) intersections over unions of (n, 4) and (m, 4) boxes: left, top, right, bottom."""
    low, high = (f(one[:, None, part], other[None, :, part]) for f, part in
                 ((np.maximum, slice(0, 2)), (np.minimum, slice(2, 4))))  # fmt: skip
    inner = (high - low).clip(min=0).prod(axis=2)
    areas = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other))
    return inner / (np.add.outer(*areas) - inner)


def average_precision(score: Array, bits: Array, owner: Array, real: Array, weights: Array) -> Array:
    """(r, overlaps) of one class; not a number where a weighting leaves no true object.

    Args:
        score, bits, owner: (d,) of each box that was found: its score, `matched`, the place of its image.
        real: (n,) true objects of each image.
        weights: (r, n).
    """
    order = np.argsort(-score, kind="stable")
    bits, owner, weights = bits[order], owner[order], weights.astype(np.float64, copy=False)
    parts = [
        _curves(weights[rows][:, owner], bits, weights[rows] @ real)
        for rows in np.array_split(np.arange(len(weights)), 1 + weights.shape[0] * len(score) // CELLS)
    ]
    return np.concatenate(parts)


def _curves(weights: Array, bits: Array, real: Array) -> Array:
    seen = weights.cumsum(axis=1)
    found = np.zeros((len(weights), len(OVERLAPS)))
    for place in range(len(OVERLAPS)):
        hits = np.flatnonzero(bits >> place & 1)
        right = weights[:, hits].cumsum(axis=1)
        precision = np.divide(right, seen[:, hits], out=np.zeros_like(right), where=seen[:, hits] > 0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at this recall or a higher one
        recall = np.divide(right, real[:, None], out=np.zeros_like(right), where=real[:, None] > 0)
        reached = np.searchsorted(RECALLS, recall, side="right")
        found[:, place] = (np.diff(reached, axis=1, prepend=0) * best).sum(axis=1) / len(RECALLS)
    found[real <= 0] = np.nan
    return found
