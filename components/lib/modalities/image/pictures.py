"""Pictures for people: grids of images, a map of an embedding, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.lib.data.images import png

Canvas = npt.NDArray[np.uint8]

SIDE = 56  # pixels that a small image is drawn with, at least
GAP = 4
PAPER = 255
MAP = 720  # pixels a side


@dataclass(frozen=True)
class Picture:
    """A canvas (H, W, 3) with its title and how to read it."""

    title: str
    canvas: Canvas
    note: str = ""

    def png(self) -> bytes:
        """The bytes of a PNG file."""
        return png(self.canvas)


def grid(rows: Sequence[Tensor]) -> Canvas:
    """Rows of images (n, C, H, W) in [0, 1], each image enlarged by a whole factor."""
    cells = [[enlarged(image) for image in row] for row in map(_canvases, rows)]
    height, width = cells[0][0].shape[:2]
    many = max(map(len, cells))
    shape = (len(cells) * (height + GAP) - GAP, many * (width + GAP) - GAP, 3)
    canvas = np.full(shape, PAPER, np.uint8)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            top, left = y * (height + GAP), x * (width + GAP)
            canvas[top : top + height, left : left + width] = cell
    return canvas


def scattered(images: Tensor, features: Tensor) -> Canvas:
    """Each image at the place of its features in the plane of their two largest principal components."""
    _, _, axes = torch.pca_lowrank(features.double(), q=min(6, *features.shape), niter=4)
    plane = ((features.double() - features.double().mean(dim=0)) @ axes[:, :2]).cpu().numpy()
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))  # a single image has one component
    low, high = np.quantile(plane, [0.01, 0.99], axis=0)
    shares = np.clip((plane - low) / np.maximum(high - low, 1e-12), 0, 1)
    cells = _canvases(images)
    height, width = cells.shape[1:3]
    step = max(1, max(height, width) // 32)  # large images are thinned to about 32 pixels
    cells = cells[:, ::step, ::step]
    height, width = cells.shape[1:3]
    canvas = np.full((MAP, MAP, 3), PAPER, np.uint8)
    for cell, (x, y) in zip(cells, shares, strict=True):
        top, left = round(y * (MAP - height)), round(x * (MAP - width))
        canvas[top : top + height, left : left + width] = cell
    return canvas


def neighbours(images: Tensor, features: Tensor, queries: int, found: int) -> Canvas:
    """The first images, each beside those whose features have the most similar direction, nearest first."""
    unit = torch.nn.functional.normalize(features.float(), dim=1)
    similarity = (unit[:queries] @ unit.T).fill_diagonal_(-2.0)  # none is a neighbour of itself
    nearest = similarity.topk(min(found, len(unit) - 1), dim=1).indices
    return grid([torch.cat([images[number : number + 1], images[row]]) for number, row in enumerate(nearest)])


def enlarged(canvas: Canvas) -> Canvas:
    """A picture enlarged by the smallest whole factor that makes its sides long enough to be seen."""
    factor = max(1, -(-SIDE // max(canvas.shape[:2])))
    return canvas.repeat(factor, axis=0).repeat(factor, axis=1)


def _canvases(images: Tensor) -> Canvas:
    """(n, C, H, W) in [0, 1] -> (n, H, W, 3)."""
    bytes_ = (images.detach().float().clamp(0, 1) * 255).round().byte().cpu().permute(0, 2, 3, 1).numpy()
    canvases: Canvas = bytes_[..., :3] if bytes_.shape[-1] >= 3 else bytes_[..., :1].repeat(3, axis=-1)
    return canvases
