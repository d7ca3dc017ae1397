"""Average precision of boxes, as COCO has it, for many weightings of the same images at once.

The matching of an image's boxes does not depend on other images: it is done once, and kept as a few bits.
What depends on the weights are sums along the order of all boxes by their score. Equal to pycocotools
(areaRng all), which the test compares with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

OVERLAPS = np.linspace(0.5, 0.95, 10)  # intersection over union from which a box is right
RECALLS = np.linspace(0, 1, 101)  # points of the curve of precision over recall
CELLS = 4_000_000  # numbers held at once


def matched(kinds: Array, boxes: Array, real: Array, crowds: Array | None = None) -> Array:
    """(d,) bits: bit t is set if the box is the one of a true object at the overlap t.

    Bit t + 10 is set if it is none but lies in a crowd: so many parts of its area, at the overlap t.

    Args:
        kinds, boxes: (d,) and (d, 4) of what was found, surest first.
        real: (k, 5) kinds and boxes of the true objects; each is given to one box at most.
        crowds: (c, 5) of regions that hold many of a kind.
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
    if crowds is not None and len(crowds) and len(kinds):
        inner, areas = _intersections(boxes, crowds[:, 1:]), _areas(boxes)[:, None]
        within = np.where(kinds[:, None] == crowds[:, 0], inner / np.maximum(areas, 1e-12), -1.0).max(axis=1)
        lies = ((within[:, None] >= OVERLAPS) << np.arange(len(OVERLAPS))).sum(axis=1)
        bits |= (lies & ~bits) << len(OVERLAPS)
    return bits


def overlap(one: Array, other: Array) -> Array:
    """(n, m) intersections over unions of (n, 4) and (m, 4) boxes: left, top, right, bottom."""
    inner = _intersections(one, other)
    return inner / (np.add.outer(_areas(one), _areas(other)) - inner)


def _intersections(one: Array, other: Array) -> Array:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=2)


def _areas(boxes: Array) -> Array:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


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
    every = weights.cumsum(axis=1)
    found = np.zeros((len(weights), len(OVERLAPS)))
    for place in range(len(OVERLAPS)):
        crowded = bits >> place + len(OVERLAPS) & 1  # neither right nor wrong
        seen = (weights * (1 - crowded)).cumsum(axis=1) if crowded.any() else every
        hits = np.flatnonzero(bits >> place & 1)
        right = weights[:, hits].cumsum(axis=1)
        precision = np.divide(right, seen[:, hits], out=np.zeros_like(right), where=seen[:, hits] > 0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at this recall or a higher one
        recall = np.divide(right, real[:, None], out=np.zeros_like(right), where=real[:, None] > 0)
        reached = np.searchsorted(RECALLS, recall, side="right")
        found[:, place] = (np.diff(reached, axis=1, prepend=0) * best).sum(axis=1) / len(RECALLS)
    found[real <= 0] = np.nan
    return found
