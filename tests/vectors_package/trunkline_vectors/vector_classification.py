"""One class for a row of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from components.lib.data.classes import named
from components.lib.models import classifiers
from components.lib.models.probe import LinearProbe
from components.lib.tasks import sequence_classification as one_class
from trunkline_vectors.network import VectorClassifier
from trunkline_vectors.rows import Rows

NEEDS = ("vectors",)
OFFERS = ("linear_probe", "vote")
LINEAR = "sample"
ROLES = {"vector": "*", "label": "label"}
METRICS = {"accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"}}
PRIMARY = "accuracy"
FEWEST = 2
USE = "tabular-classification"
OUTPUTS = (("label", "string"), ("score", "double"))

Probe = LinearProbe
Objective, with_unknown = one_class.Objective, classifiers.with_unknown
classes, compared = one_class.classes, one_class.compared
features, outcomes = one_class.features, one_class.outcomes
load = partial(classifiers.load, VectorClassifier)


def parse(values: Mapping[str, Any], reading: Any) -> tuple[dict[str, Any], str]:
    """A row and its class."""
    return {"vector": values["vector"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[Any]], labels: Any, names: list[str]) -> Rows:
    """Scaled numbers and class indices."""
    targets = np.array(classifiers.places(labels, names), np.int64)
    return Rows(reader.scaling.scaled(inputs["vector"]), targets)


def model(config: Any, names: list[str]) -> nn.Module:
    """With random weights."""
    return classifiers.build(VectorClassifier, config, names)


def metrics(outcomes: dict[str, Any], weights: Any, names: list[str]) -> dict[str, Any]:
    """Accuracy for each of r weightings of n rows."""
    correct = (outcomes["label"] == outcomes["prediction"]).astype(np.float64)
    return {"accuracy": weights @ correct / weights.sum(axis=1)}


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The class of each row, and how sure that is."""
    names = classifiers.names(model)
    samples = encode(reader, inputs, [names[0]] * len(inputs["vector"]), names)
    return one_class.answers(outcomes(model, samples, names), names)
