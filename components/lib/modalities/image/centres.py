"""Objects as peaks of a map, with the boxes around them: head, losses, and what is read off the map.

The head is that of Zhou et al., "Objects as points", 2019: a map of each class peaks at the centres of its
objects, and peaks are their own non-maximum suppression. As in Liu et al., "Training-time-friendly network",
AAAI 2020, a peak is as wide and as high as its box, and all places near a centre learn the distances to the
four sides, by the generalised intersection over union of Rezatofighi et al., CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.modalities.image.canvas import Canvas
from components.lib.models.vision.dense import WIDTH, Dense

MOST, SURE = 100, 0.05  # boxes of an image, and the least score of one
NARROW = 0.54 / 6  # deviation of a peak as a share of its box (Liu et al.)
NEAR = 0.3  # height of a peak from which a place learns the sides

Array = np.ndarray[Any, np.dtype[Any]]


class Detector(Dense):
    """Trunk and head."""

    STRIDE = 4

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.peaks = nn.Conv2d(WIDTH, len(config.id2label), 1)
        self.distances = nn.Conv2d(WIDTH, 4, 1)
        nn.init.constant_(self.peaks.bias, -2.19)  # type: ignore[arg-type]  # a chance of 0.1 (Zhou et al.)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes, h, w) of a centre, and the box (n, 4, h, w) of each place, in pixels."""
        hidden = self.features(pixel_values)
        distances = nn.functional.softplus(self.distances(hidden).float()) * self.STRIDE
        y, x = places(hidden.shape[2:], self.STRIDE, hidden.device)
        left, top, right, bottom = distances.unbind(1)
        return self.peaks(hidden).float(), torch.stack([x - left, y - top, x + right, y + bottom], dim=1)


def places(shape: Iterable[int], stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels of the middles of a map's places: down (h, 1) and across (w,)."""
    down, across = ((torch.arange(side, device=device) + 0.5) * stride for side in shape)
    return down[:, None], across


def losses(logits: Tensor, boxes: Tensor, targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Focal loss of each image's centres and 1 - GIoU of its boxes, over its number of objects.

    Args:
        logits, boxes: of Detector.
        targets: of each image, (k, 5) class, left, top, right, bottom.
    """
    objects = torch.cat(list(targets)).to(logits)
    counts = torch.tensor([len(one) for one in targets], device=logits.device)
    owner = torch.repeat_interleave(torch.arange(len(counts), device=logits.device), counts)
    heights = _heights(objects, logits.shape[2:], Detector.STRIDE)
    share = 1 / counts.clamp(min=1)
    apart = _apart(boxes, heights, owner, objects[:, 1:])
    centres = _focal(logits, heights, owner, objects[:, 0].long())
    return centres * share, torch.zeros_like(centres).index_add(0, owner, apart * share[owner])


def found(logits: Tensor, boxes: Tensor, canvas: Canvas) -> list[tuple[Array, Array, Array]]:
    """Scores, classes and boxes of the peaks of each image, surest first."""
    chance = logits.sigmoid()
    peak = chance == nn.functional.max_pool2d(chance, 3, stride=1, padding=1)
    flat = torch.where(peak, chance, -1.0).flatten(1)
    score, place = flat.topk(min(MOST, flat.shape[1]), dim=1)
    kind, cell = place // logits[0, 0].numel(), place % logits[0, 0].numel()
    box = boxes.flatten(2).transpose(1, 2).gather(1, cell[:, :, None].expand(-1, -1, 4))
    edges = box.new_tensor([canvas.width, canvas.height] * 2)
    columns = (score, kind, box.clamp(min=0).minimum(edges))
    rows = zip(*(column.double().cpu().numpy() for column in columns), strict=True)
    return [(s[s >= SURE], k[s >= SURE].astype(np.int64), b[s >= SURE]) for s, k, b in rows]


def _heights(objects: Tensor, shape: torch.Size, stride: int) -> Tensor:
    """(k, h, w): the peak of each object, 1 at the place of its centre."""
    down, across = places(shape, stride, objects.device)
    left, top, right, bottom = (side[:, None, None] for side in objects[:, 1:].unbind(1))
    parts = []
    for place, low, high in ((down, top, bottom), (across, left, right)):
        middle = (torch.floor((low + high) / 2 / stride) + 0.5) * stride
        middle = middle.clamp(max=float(place.max()))
        parts.append(((place - middle) / (NARROW * (high - low)).clamp(min=stride / 3)) ** 2)
    return torch.exp(-(parts[0] + parts[1]) / 2)


def _focal(logits: Tensor, heights: Tensor, owner: Tensor, kinds: Tensor) -> Tensor:
    """(n,) of Zhou et al., equation 1, summed over places and classes."""
    wanted = torch.zeros_like(logits).flatten(0, 1)
    maps = (owner * logits.shape[1] + kinds)[:, None, None].expand_as(heights)
    wanted = wanted.scatter_reduce(0, maps, heights, "amax").view_as(logits)
    chance, log = logits.sigmoid(), nn.functional.logsigmoid
    right = (1 - chance) ** 2 * log(logits)
    wrong = (1 - wanted) ** 4 * chance**2 * log(-logits)
    return -torch.where(wanted == 1, right, wrong).sum(dim=(1, 2, 3))


def _apart(boxes: Tensor, heights: Tensor, owner: Tensor, real: Tensor) -> Tensor:
    """(k,): 1 - GIoU of the boxes near each object's centre, weighted by its peak."""
    number, y, x = (heights >= NEAR).nonzero(as_tuple=True)
    found, wanted = boxes[owner[number], :, y, x], real[number]
    inner = (torch.minimum(found, wanted)[:, 2:] - torch.maximum(found, wanted)[:, :2]).clamp(min=0).prod(1)
    hull = (torch.maximum(found, wanted)[:, 2:] - torch.minimum(found, wanted)[:, :2]).prod(1)
    union = _area(found) + _area(wanted) - inner
    lost = 1 - inner / union + (hull - union) / hull
    weight = heights[number, y, x]
    sums = [torch.zeros(len(real)).to(lost).index_add(0, number, one) for one in (lost * weight, weight)]
    return sums[0] / sums[1]


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
