"""One class for a whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.data.classes import named
from components.lib.engine.trainable import Loss
from components.lib.modalities.image.examples import Framed, ImageSet, prepare
from components.lib.models import calibration, classifiers
from components.lib.models.inference import batches
from components.lib.models.probe import LinearProbe
from components.lib.models.vision.networks import register
from components.lib.tasks import Reading
from components.lib.tasks import sequence_classification as one_class

NEEDS = ("image",)
OFFERS = ("linear_probe", "vote")
LINEAR = "sample"
ROLES = {"image": "image", "label": "label"}
METRICS = {
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"},
    "macro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "macro F1"},
    "calibration_error": {"better": "lower", "low": 0.0, "high": 1.0, "title": "calibration error (ECE)"},
}
PRIMARY = "accuracy"
FEWEST = 2
USE = "image-classification"
OUTPUTS = (("label", "string"), ("score", "double"))

Array = np.ndarray[Any, np.dtype[Any]]
Probe = LinearProbe
classes = one_class.classes
compared = one_class.compared
decided = one_class.decided
metrics = one_class.metrics
with_unknown = classifiers.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], str]:
    """An image and its class, checked; raises DataError with the reason."""
    return {"image": values["image"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> ImageSet:
    """Images at the trunk's size, and class indices."""
    index = {name: number for number, name in enumerate(names)}
    targets = np.array([index[label] for label in labels], np.int64)
    return ImageSet(reader.sized(inputs["image"]), targets, reader.canvas)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForImageClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(_auto(), config, names)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    return classifiers.load(_auto(), folder)


def _auto() -> Any:
    from transformers import AutoModelForImageClassification

    register()
    return AutoModelForImageClassification


class Objective(nn.Module):
    """Cross-entropy on the class of each image."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Framed) -> Loss:
        """The loss, summed over images."""
        logits = self.model(pixel_values=batch.normal()).logits.float()
        return one_class.cross_entropy(logits, batch.targets, batch.weight)


@torch.no_grad()
def logits(model: nn.Module, samples: ImageSet, size: int = 64) -> Array:
    """(n, classes)."""
    inputs = ((places, {"pixel_values": batch.normal()}) for places, batch in batches(model, samples, size))
    return one_class.passed(model, inputs, len(samples))


def outcomes(model: nn.Module, samples: ImageSet, names: list[str], size: int = 64) -> dict[str, Array]:
    """As `decided`, at the branch's temperature."""
    return decided(logits(model, samples, size), samples, calibration.temperature(model))


@torch.no_grad()
def features(probe: LinearProbe, samples: ImageSet) -> tuple[Tensor, Tensor]:
    """(n, width) and the classes (n,), in an order of their own."""
    parts = [
        (probe.features({"pixel_values": batch.normal()}), batch.targets)
        for _, batch in batches(probe, samples)
    ]
    return torch.cat([part for part, _ in parts]), torch.cat([targets for _, targets in parts])


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The class of each image, and how sure that is."""
    names, files = classifiers.names(model), inputs["image"]
    found = outcomes(model, encode(reader, inputs, [names[0]] * len(files), names), names)
    pairs = zip(found["prediction"], found["confidence"], strict=True)
    return [{"label": names[place], "score": float(score)} for place, score in pairs]
