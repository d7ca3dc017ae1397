"""One class for every pixel of an image."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.images import Canvas
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.image import overlays
from components.lib.modalities.image.examples import Framed, ImageSet, prepare, sized
from components.lib.models import classifiers, loading
from components.lib.models.vision.dense import WIDTH, Dense
from components.lib.models.vision.networks import register

MODALITIES = ("image",)
PRIMARY = "mean_iou"
USE = {
    "task": "image-segmentation",
    "pipeline": "",
    "inputs": "image",
    "outputs": (("mask", "string"),),
}

Array = np.ndarray[Any, np.dtype[Any]]


def parse(value: bytes, label: Any) -> tuple[bytes, bytes]:
    """An image and its mask of class numbers, as an image or an array; raises DataError with the reason."""
    mask = images.decode(images.content(label))
    shape = images.decode(value).shape
    if mask.shape[2] != 1 or mask.shape[:2] != shape[:2]:
        raise DataError(
            "the mask does not fit the image", found=f"{mask.shape} for {shape}", expected="one class a pixel"
        )
    return value, images.png(mask)


def classes(labels: Iterable[bytes]) -> list[str]:
    """The class numbers that occur, in their order."""
    found = np.zeros(256, bool)
    for mask in labels:
        found[np.unique(images.decode(mask))] = True
    return [str(number) for number in np.flatnonzero(found)]


def with_unknown(names: list[str], labels: Iterable[bytes]) -> list[str]:
    """The classes of a branch, then those that only the masks know."""
    return names + [name for name in classes(labels) if name not in names]


def encode(canvas: Canvas, files: list[bytes], labels: list[bytes], names: list[str]) -> ImageSet:
    """Images and masks at the trunk's size; a mask holds places in `names`."""
    places = np.zeros(256, np.int64)
    places[[int(name) for name in names]] = np.arange(len(names))
    shape = (0, canvas.height, canvas.width)
    masks = [places[canvas.mask(images.decode(mask))] for mask in labels]
    return ImageSet(sized(canvas, files), np.stack(masks) if masks else np.zeros(shape, np.int64), canvas)


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


class Task(nn.Module):
    """Cross-entropy on the class of each pixel, the mean over an image."""

    PARTS = ("pixel_accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Framed) -> Loss:
        """The loss, summed over images."""
        logits = self.model(batch.normal()).float()
        losses = nn.functional.cross_entropy(logits, batch.targets, reduction="none")
        right = (logits.argmax(1) == batch.targets).float()
        parts = {"pixel_accuracy": right.mean(dim=(1, 2)).sum()}
        return Loss(losses.mean(dim=(1, 2)).sum(), batch.weight, parts)


@torch.no_grad()
def outcomes(model: nn.Module, samples: ImageSet, names: list[str], batch_size: int = 64) -> dict[str, Array]:
    """Per image and class: pixels in both masks (`both/...`) and in either (`either/...`)."""
    model.eval()
    device = next(model.parameters()).device
    size = len(names)
    both, either = (np.zeros((size, len(samples)), np.int64) for _ in range(2))
    for chosen in samples.batches(batch_size):
        batch = moved(samples.batch(chosen), device)
        guessed = model(batch.normal()).argmax(1)
        for number in range(size):
            mine, theirs = guessed == number, batch.targets == number
            both[number, chosen] = (mine & theirs).sum(dim=(1, 2)).cpu().numpy()
            either[number, chosen] = (mine | theirs).sum(dim=(1, 2)).cpu().numpy()
    columns = {f"both/{name}": both[number] for number, name in enumerate(names)}
    return {**columns, **{f"either/{name}": either[number] for number, name in enumerate(names)}}


def score(folder: Path, examples: Any, batch_size: int = 64) -> dict[str, Array]:
    """Outcomes of the branch in `folder` on a table with columns `image` and `label`."""
    branch, columns = load(folder), examples.to_pydict()
    names = with_unknown(classifiers.names(branch), columns["label"])
    samples = encode(Canvas.open(folder), columns["image"], columns["label"], names)
    return outcomes(branch, samples, names, batch_size)


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


def answers(model: Segmenter, pixels: Tensor, canvas: Canvas, shapes: list[Any]) -> list[dict[str, Any]]:
    """What is served of each image: a mask of class numbers, at the trunk's size, as a PNG in base64."""
    numbers = np.array([int(name) for name in classifiers.names(model)], np.uint8)
    masks = (images.png(numbers[mask][:, :, None]) for mask in model(pixels).argmax(1).cpu().numpy())
    return [{"mask": base64.b64encode(mask).decode()} for mask in masks]


@torch.no_grad()
def pictures(folder: Path, examples: Any) -> tuple[str, list[tuple[bytes, str]]]:
    """How to read them, and each example with its true mask and the one that was found."""
    branch, columns = load(folder), examples.to_pydict()
    names = with_unknown(classifiers.names(branch), columns["label"])
    samples = encode(Canvas.open(folder), columns["image"], columns["label"], names)
    guessed = branch(samples.batch(np.arange(len(samples))).normal()).argmax(1).numpy()
    shown = []
    for pixels, mask, guess in zip(samples.pixels, samples.targets, guessed, strict=True):
        right = float((mask == guess).mean())
        shown.append((overlays.masks(pixels, mask, guess), f"{right:.0%} of the pixels right"))
    return "The image, its true mask, and the mask that was found.", shown
