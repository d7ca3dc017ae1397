"""One class for every pixel of an image."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.data import masks
from components.lib.data.masks import IGNORED
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.image import overlays
from components.lib.modalities.image.examples import Framed, ImageSet
from components.lib.models import classifiers, loading
from components.lib.models.inference import batches
from components.lib.models.vision.dense import WIDTH, Dense
from components.lib.models.vision.networks import register
from components.lib.tasks import Reading

NEEDS = ("image", "maps")
OFFERS = ()
ROLES = {"image": "image", "label": "label"}
METRICS = {"mean_iou": {"better": "higher", "low": 0.0, "high": 1.0, "title": "mean IoU"}}
PRIMARY = "mean_iou"
FEWEST = 2
USE = "image-segmentation"
OUTPUTS = (("mask", "string"),)

NONE = -100  # cross_entropy's index of a pixel without a class

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Config:
    """Which numbers of a mask are not a class, and which way up masks are."""

    ignore: tuple[int, ...] = setting(
        (255, -1),
        "numbers of pixels without a class: they leave loss and metric; []: every number is a class",
    )
    frame: str = setting(
        "stored",
        "masks of pictures that EXIF turns are of the picture as it is stored, or seen upright",
        choices=("stored", "upright"),
    )


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], bytes]:
    """An image and its mask of class numbers, as an image or an array; raises DataError with the reason."""
    options: Config = reading.options or Config()
    mask, note = masks.read(values["label"], values["image"], options.ignore, options.frame)
    if note:
        reading.tell(note)
    if (mask == IGNORED).any():
        numbers = ", ".join(map(str, options.ignore))
        what = "leave loss and metric; ignore: [] makes them classes"
        reading.tell(f"masks have pixels of the numbers in `ignore` ({numbers}): they {what}")
    return {"image": values["image"]}, masks.png(mask)


def classes(labels: Iterable[bytes]) -> list[str]:
    """The class numbers that occur, in their order."""
    found = np.zeros(IGNORED + 1, bool)
    for mask in labels:
        found[masks.load(mask)] = True
    return [str(number) for number in np.flatnonzero(found[:IGNORED])]


def with_unknown(names: list[str], labels: Iterable[bytes]) -> list[str]:
    """The classes of a branch, then those that only the masks know."""
    return names + [name for name in classes(labels) if name not in names]


def encode(
    reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Sequence[bytes], names: list[str]
) -> ImageSet:
    """Images and masks at the trunk's size; a mask holds places in `names`, and NONE."""
    places = np.full(IGNORED + 1, NONE, np.int64)
    places[[int(name) for name in names]] = np.arange(len(names))
    canvas = reader.canvas
    sized = [places[canvas.mask(masks.load(mask))] for mask in labels]
    targets = np.stack(sized) if sized else np.zeros((0, canvas.height, canvas.width), np.int64)
    return ImageSet(reader.sized(inputs["image"]), targets, canvas)


class Segmenter(Dense):
    """Trunk and head."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.classify = nn.Conv2d(WIDTH, len(config.id2label), 1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, classes, H, W)."""
        logits: Tensor = self.classify(self.features(pixel_values))
        return logits


def model(config: Any, names: list[str]) -> nn.Module:
    """Trunk and head with random weights."""
    return classifiers.build(Segmenter, config, names)


class Objective(Supervised):
    """Cross-entropy on the class of each pixel that has one, the mean over an image."""

    PARTS = ("pixel_accuracy",)

    def forward(self, batch: Framed) -> Loss:
        """The loss, summed over images."""
        logits = self.model(batch.normal()).float()
        losses = nn.functional.cross_entropy(logits, batch.targets, reduction="none", ignore_index=NONE)
        right = (logits.argmax(1) == batch.targets).float()
        counted = (batch.targets != NONE).sum(dim=(1, 2)).clamp(min=1)
        parts = {"pixel_accuracy": (right.sum(dim=(1, 2)) / counted).sum()}
        return Loss((losses.sum(dim=(1, 2)) / counted).sum(), batch.weight, parts)


@torch.no_grad()
def outcomes(model: nn.Module, samples: ImageSet, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per image and class: pixels in both masks (`both/...`) and in either (`either/...`)."""
    both, either = (np.zeros((len(names), len(samples)), np.int64) for _ in range(2))
    for chosen, batch in batches(model, samples, size):
        guessed = model(batch.normal()).argmax(1).where(batch.targets != NONE, NONE)
        for number in range(len(names)):
            mine, theirs = guessed == number, batch.targets == number
            both[number, chosen] = (mine & theirs).sum(dim=(1, 2)).cpu().numpy()
            either[number, chosen] = (mine | theirs).sum(dim=(1, 2)).cpu().numpy()
    columns = {f"both/{name}": both[number] for number, name in enumerate(names)}
    return {**columns, **{f"either/{name}": either[number] for number, name in enumerate(names)}}


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Intersection over union, of the mean over classes and of each, for each of r weightings of n images.

    Pixels of all images are counted together, as in PASCAL VOC; a class that no mask holds does not count.
    """
    both = np.stack([weights @ outcomes[f"both/{name}"] for name in classes]).astype(np.float64)
    either = np.stack([weights @ outcomes[f"either/{name}"] for name in classes]).astype(np.float64)
    share = np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)
    each = {f"iou_{name}": share[number] for number, name in enumerate(classes)}
    return {"mean_iou": np.nanmean(share, axis=0), **each}


def load(folder: Path) -> Segmenter:
    """The branch in a folder."""
    register()
    branch: Segmenter = loading.model(Segmenter, folder).eval()
    return branch


@torch.no_grad()
def answer(model: Segmenter, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """A mask of class numbers for each image, at the trunk's size, as a PNG in base64."""
    numbers = np.array([int(name) for name in classifiers.names(model)], np.uint16)
    found = (numbers[mask] for mask in _guessed(model, _unlabelled(reader, inputs)))
    return [{"mask": base64.b64encode(masks.png(mask)).decode()} for mask in found]


def pictures(
    model: Segmenter, reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Sequence[bytes]
) -> tuple[str, list[tuple[bytes, str]]]:
    """How to read them, and each example with its true mask and the one that was found."""
    names = with_unknown(classifiers.names(model), labels)
    samples, shown = encode(reader, inputs, labels, names), []
    for pixels, mask, guess in zip(samples.pixels, samples.targets, _guessed(model, samples), strict=True):
        right = float((mask == guess)[mask != NONE].mean()) if (mask != NONE).any() else 0.0
        shown.append((overlays.masks(pixels, mask, guess), f"{right:.0%} of the pixels right"))
    return "The image, its true mask, and the mask that was found.", shown


def _unlabelled(reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> ImageSet:
    pixels = reader.sized(inputs["image"])
    return ImageSet(pixels, np.zeros(pixels.shape[:3], np.int64), reader.canvas)


@torch.no_grad()
def _guessed(model: nn.Module, samples: ImageSet, size: int = 64) -> list[Array]:
    """The class index of each pixel, image by image."""
    found = (model(batch.normal()).argmax(1).cpu().numpy() for _, batch in batches(model, samples, size))
    return [mask for some in found for mask in some]
