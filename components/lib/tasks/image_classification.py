"""One class for a whole image."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.errors import DataError
from components.lib.data.images import Canvas
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.image.examples import Framed, ImageSet, prepare, sized
from components.lib.models import classifiers
from components.lib.models.vision.neighbours import Neighbours
from components.lib.models.vision.networks import register
from components.lib.tasks import sequence_classification as one_class

MODALITIES = ("image",)
PRIMARY = one_class.PRIMARY
NEIGHBOURS = True  # it can be learnt without training
USE = {
    "task": "image-classification",
    "pipeline": "ImageClassificationPipeline",
    "inputs": "image",
    "outputs": (("label", "string"), ("score", "double")),
}

Array = np.ndarray[Any, np.dtype[Any]]

metrics = one_class.metrics


def parse(value: bytes, label: Any) -> tuple[bytes, str]:
    """An image and its class, checked; raises DataError with the reason."""
    if label is None or isinstance(label, float) or not str(label).strip():
        raise DataError("the label is not a class", found=repr(label), expected="a word or a whole number")
    return value, str(label).strip()


def classes(labels: Iterable[str]) -> list[str]:
    """The classes that occur, sorted."""
    return sorted(set(labels))


def encode(canvas: Canvas, files: list[bytes], labels: list[str], names: list[str]) -> ImageSet:
    """Images at the trunk's size, and class indices."""
    index = {name: number for number, name in enumerate(names)}
    return ImageSet(sized(canvas, files), np.array([index[label] for label in labels], np.int64), canvas)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForImageClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(_auto(), config, names)


class Task(nn.Module):
    """Cross-entropy on the class of each image."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Framed) -> Loss:
        """The loss, summed over images."""
        logits = self.model(pixel_values=batch.normal()).logits.float()
        total = nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
        return Loss(total, batch.weight, {"accuracy": (logits.argmax(-1) == batch.targets).sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: ImageSet, names: list[str], batch_size: int = 64) -> dict[str, Array]:
    """Per image: label, prediction (class indices) and confidence (largest probability)."""
    model.eval()
    device = next(model.parameters()).device
    prediction = np.zeros(len(samples), dtype=np.int64)
    confidence = np.zeros(len(samples), dtype=np.float64)
    for chosen in samples.batches(batch_size):
        logits: Tensor = model(pixel_values=moved(samples.batch(chosen), device).normal()).logits.double()
        largest = logits.softmax(-1).max(-1)
        prediction[chosen], confidence[chosen] = largest.indices.cpu().numpy(), largest.values.cpu().numpy()
    return {"label": samples.targets, "prediction": prediction, "confidence": confidence}


def neighbours(model: Any, samples: ImageSet, voters: int, batch_size: int = 64) -> Neighbours:
    """A branch that holds the features of labelled images by the model's trunk, and trains nothing."""
    device = next(model.parameters()).device
    batches = (moved(samples.batch(chosen), device) for chosen in samples.batches(batch_size))
    pairs = [(batch.normal(), batch.targets) for batch in batches]
    return Neighbours.of(model.base_model, model.config, pairs, voters)


def score(folder: Path, examples: Any, batch_size: int = 64) -> dict[str, Array]:
    """Outcomes of the branch in `folder` on a table with columns `image` and `label`."""
    branch = load(folder)
    columns = examples.to_pydict()
    names = classifiers.with_unknown(classifiers.names(branch), columns["label"])
    samples = encode(Canvas.open(folder), columns["image"], columns["label"], names)
    return outcomes(branch, samples, names, batch_size)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    register()
    architecture = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    by_heart = architecture == Neighbours.__name__
    return classifiers.load_model(Neighbours if by_heart else _auto(), folder)


def answers(model: Any, pixels: Tensor, canvas: Canvas, shapes: list[Any]) -> list[dict[str, Any]]:
    """What is served of each image: its class, and how sure that is."""
    best = model(pixel_values=pixels).logits.double().softmax(-1).max(-1)
    names = classifiers.names(model)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [{"label": names[place], "score": score} for place, score in pairs]


def _auto() -> Any:
    from transformers import AutoModelForImageClassification

    register()
    return AutoModelForImageClassification
