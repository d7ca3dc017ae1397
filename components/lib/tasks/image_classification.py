"""One class for a whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import nn
from transformers import AutoModelForImageClassification

from components.lib.data.classes import named
from components.lib.modalities.image.examples import ImageSet
from components.lib.models import classifiers
from components.lib.models.probe import LinearProbe
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
load = partial(classifiers.load, AutoModelForImageClassification)
Objective, with_unknown = one_class.Objective, classifiers.with_unknown
classes, compared, metrics = one_class.classes, one_class.compared, one_class.metrics
features, outcomes = one_class.features, one_class.outcomes
decided, logits = one_class.decided, one_class.logits


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], str]:
    """An image and its class, checked; raises DataError with the reason."""
    return {"image": values["image"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> ImageSet:
    """Images at the trunk's size, and class indices."""
    targets = np.array(classifiers.places(labels, names), np.int64)
    return ImageSet(reader.sized(inputs["image"]), targets, reader.canvas)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForImageClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(AutoModelForImageClassification, config, names)


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The class of each image, and how sure that is."""
    names = classifiers.names(model)
    samples = encode(reader, inputs, [names[0]] * len(inputs["image"]), names)
    return one_class.answers(outcomes(model, samples, names), names)
