"""Boxes around the objects of an image, each with its class."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.settings import setting
from components.lib.data import images, objects
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.image import overlays
from components.lib.modalities.image.average_precision import average_precision, matched
from components.lib.modalities.image.canvas import Canvas
from components.lib.modalities.image.centres import Detector, found, losses
from components.lib.modalities.image.examples import Framed, ImageSet
from components.lib.models import classifiers, loading
from components.lib.models.inference import batches
from components.lib.models.vision.networks import register
from components.lib.tasks import Reading

NEEDS = ("image", "maps")
OFFERS = ()
ROLES = {"image": "image", "label": "label"}
METRICS = {
    "mean_average_precision": {
        "better": "higher",
        "low": 0.0,
        "high": 1.0,
        "title": "mean average precision",
    },
    "average_precision_50": {
        "better": "higher",
        "low": 0.0,
        "high": 1.0,
        "title": "average precision at an overlap of 0.5",
    },
    "average_precision_75": {
        "better": "higher",
        "low": 0.0,
        "high": 1.0,
        "title": "average precision at an overlap of 0.75",
    },
}
PRIMARY = "mean_average_precision"
FEWEST = 1
USE = "object-detection"
OUTPUTS = (("objects", "string"),)
SIDES = 5.0  # weight of the boxes' loss beside the centres' (Liu et al.)
SHOWN = 0.3  # least score of a box in pictures

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Config:
    """Which way up boxes are."""

    frame: str = setting(
        "stored",
        "boxes in pictures that EXIF turns are of the picture as it is stored, or seen upright",
        choices=("stored", "upright"),
    )


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """An image and its objects, upright and within it; raises DataError with the reason.

    Empty boxes are left out; what of a box is outside is cut off, if it is the smaller part; both are told.

    Args:
        values: `image`, a file, and `label`, objects as `objects.listed` reads them.
    """
    picture = images.values(values["image"])
    height, width = picture.array.shape[:2]
    frame = (reading.options or Config()).frame
    turned = picture.orientation if frame == "stored" else 1
    if picture.orientation != 1:
        reading.tell(f"images are turned upright by EXIF: their boxes are taken as {frame}")
    found, notes = objects.within(objects.listed(values["label"], reading.missing), height, width, turned)
    reading.notices.update(notes)
    return {"image": values["image"]}, found


def classes(labels: Iterable[list[dict[str, Any]]]) -> list[str]:
    """The classes that occur, sorted; those of crowds alone are none."""
    return sorted({item["label"] for each in labels for item in each if not item.get("crowd")})


def with_unknown(names: list[str], labels: Iterable[list[dict[str, Any]]]) -> list[str]:
    """The classes of a branch, then those that only the labels know."""
    return names + [name for name in classes(labels) if name not in names]


def encode(
    reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Sequence[Any], names: list[str]
) -> ImageSet:
    """Images at the trunk's size, and (class, left, top, right, bottom) of their objects on it.

    The class of a crowd is its place from the end, below 0. What the canvas cuts off is cut off its box;
    objects whose centre it cuts off do not count.
    """
    index = {name: number for number, name in enumerate(names)}
    targets = []
    for data, each in zip(inputs["image"], labels, strict=True):
        rows = [
            [index[item["label"]] - len(names) * bool(item.get("crowd")), *item["box"]]
            for item in each
            if item["label"] in index
        ]
        shape = images.values(data).array.shape
        targets.append(_placed(reader.canvas, shape, np.array(rows).reshape(-1, 5)))
    return ImageSet(reader.sized(inputs["image"]), targets, reader.canvas)


def _placed(canvas: Canvas, shape: tuple[int, ...], rows: Array) -> Array:
    left, top, right, bottom = canvas.box(*shape[:2])
    scale = np.array([canvas.width / (right - left), canvas.height / (bottom - top)] * 2)
    boxes = (rows[:, 1:] - [left, top, left, top]) * scale
    size = np.array([canvas.width, canvas.height])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    kept = ((centres > 0) & (centres < size)).all(axis=1)
    return np.hstack([rows[:, :1], boxes.clip(0, np.tile(size, 2))])[kept].astype(np.float32)


def model(config: Any, names: list[str]) -> nn.Module:
    """Trunk and head with random weights."""
    return classifiers.build(Detector, config, names)


class Objective(Supervised):
    """The losses of the centres and of the boxes, for each image over its number of objects."""

    PARTS = ("centres", "boxes")

    def forward(self, batch: Framed) -> Loss:
        """The loss, summed over images."""
        logits, boxes = self.model(batch.normal())
        real = tuple(rows[rows[:, 0] >= 0] for rows in batch.targets)
        centres, sides = losses(logits, boxes, real)
        parts = {"centres": centres.detach().sum(), "boxes": sides.detach().sum()}
        return Loss((centres + SIDES * sides).sum(), batch.weight, parts)


@torch.no_grad()
def outcomes(model: nn.Module, samples: ImageSet, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per image: how many objects there are, were found, and are right at an overlap of a half; and lists.

    The lists: the class of each true object; of each box that was found its class, score and `matched`.
    """
    lists: dict[str, list[Array]] = {"real": [], "class": [], "score": [], "matched": []}
    for place, (score, kind, box) in enumerate(_guessed(model, samples, size)):
        rows = samples.targets[place].astype(np.float64)
        real, crowds = rows[rows[:, 0] >= 0], rows[rows[:, 0] < 0] + [len(names), 0, 0, 0, 0]
        row = (real[:, 0].astype(np.int64), kind, score, matched(kind, box, real, crowds))
        for column, value in zip(lists.values(), row, strict=True):
            column.append(value)
    counts = {
        "objects": [len(one) for one in lists["real"]],
        "found": [len(one) for one in lists["score"]],
        "right": [int((one & 1).sum()) for one in lists["matched"]],
    }
    return {
        **{name: np.array(one, np.int64) for name, one in counts.items()},
        **{name: _column(one) for name, one in lists.items()},
    }


def _guessed(model: nn.Module, samples: ImageSet, size: int = 64) -> Iterator[tuple[Array, Array, Array]]:
    """Score, class index and box of what was found, image by image."""
    for _, batch in batches(model, samples, size):
        logits, boxes = model(batch.normal())
        yield from found(logits, boxes, samples.canvas)


def _column(values: list[Array]) -> Array:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Average precision for each of r weightings of n images: over all overlaps, at 0.5 and 0.75, by class.

    The means are over classes and leave out those without an object, as COCO's do.
    """
    images_ = np.arange(len(outcomes["objects"]))
    owner, truth = (np.repeat(images_, [len(one) for one in outcomes[name]]) for name in ("score", "real"))
    score, bits, kind, real = (np.concatenate(outcomes[n]) for n in ("score", "matched", "class", "real"))
    each = []
    for number in range(len(classes)):
        mine, counts = kind == number, np.bincount(truth[real == number], minlength=len(images_))
        each.append(average_precision(score[mine], bits[mine], owner[mine], counts, weights))
    table = np.stack(each)
    known = ~np.isnan(table[:, :, 0])
    sums = np.where(known[:, :, None], table, 0.0).sum(axis=0)
    mean = np.divide(
        sums, known.sum(axis=0)[:, None], out=np.full_like(sums, np.nan), where=known.any(axis=0)[:, None]
    )
    whole = {
        PRIMARY: mean.mean(axis=1),
        "average_precision_50": mean[:, 0],
        "average_precision_75": mean[:, 5],
    }
    return {
        **whole,
        **{f"average_precision_{n}": one.mean(axis=1) for n, one in zip(classes, table, strict=True)},
    }


def load(folder: Path) -> Detector:
    """The branch in a folder."""
    register()
    branch: Detector = loading.model(Detector, folder).eval()
    return branch


@torch.no_grad()
def answer(model: Detector, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The objects of each image as JSON, with boxes in the image's own pixels."""
    names, rows, canvas = classifiers.names(model), [], reader.canvas
    samples = encode(reader, inputs, [[]] * len(inputs["image"]), names)
    for (score, kind, box), data in zip(_guessed(model, samples), inputs["image"], strict=True):
        height, width = images.values(data).array.shape[:2]
        left, top, right, bottom = canvas.box(height, width)
        scale = np.array([(right - left) / canvas.width, (bottom - top) / canvas.height] * 2)
        own = (box * scale + [left, top, left, top]).clip(0, [width, height] * 2)
        answered = [
            {"label": names[k], "score": s, "box": [round(v, 2) for v in b]}
            for s, k, b in zip(score.tolist(), kind.tolist(), own.tolist(), strict=True)
        ]
        rows.append({"objects": json.dumps(answered)})
    return rows


@torch.no_grad()
def pictures(
    model: Detector, reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Sequence[Any]
) -> tuple[str, list[tuple[bytes, str]]]:
    """How to read them, and each example with its true boxes and beside it those that were found."""
    names = with_unknown(classifiers.names(model), labels)
    samples, shown = encode(reader, inputs, labels, names), []
    for row, (score, kind, box) in enumerate(_guessed(model, samples)):
        sure = np.column_stack([kind, box])[score >= SHOWN]
        words = ", ".join(sorted({item["label"] for item in labels[row]}))
        real = samples.targets[row][samples.targets[row][:, 0] >= 0]
        shown.append((overlays.boxes(samples.pixels[row], real, sure), words))
    return f"The true boxes, and those that were found with a score of {SHOWN:g} or more.", shown
