"""One class for a whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from components.lib.data.classes import named
from components.lib.modalities.image.examples import ImageSet
from components.lib.models import classifiers, one_class
from components.lib.models.probe import LinearProbe
from components.lib.models.vision.networks import register
from components.lib.tasks import Reading

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

Objective, Probe = one_class.Objective, LinearProbe
classes, with_unknown = one_class.classes, classifiers.with_unknown
compared, features = one_class.compared, one_class.features
metrics, outcomes = one_class.metrics, one_class.outcomes


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


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The class of each image, and how sure that is."""
    names, files = classifiers.names(model), inputs["image"]
    return one_class.answered(model, encode(reader, inputs, [names[0]] * len(files), names))
