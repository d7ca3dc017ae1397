"""One class for a row of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.data.classes import named
from components.lib.engine.trainable import Loss
from components.lib.models import classifiers
from components.lib.models.inference import batches
from components.lib.models.probe import LinearProbe
from components.lib.tasks import sequence_classification as one_class
from trunkline_vectors.network import VectorClassifier
from trunkline_vectors.rows import Labelled, Rows, prepare

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
classes = one_class.classes
compared = one_class.compared
with_unknown = classifiers.with_unknown


def parse(values: Mapping[str, Any], reading: Any) -> tuple[dict[str, Any], str]:
    """A row and its class."""
    return {"vector": values["vector"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[Any]], labels: Any, names: list[str]) -> Rows:
    """Scaled numbers and class indices."""
    index = {name: number for number, name in enumerate(names)}
    targets = np.array([index[label] for label in labels], np.int64)
    return Rows(reader.scaling.scaled(inputs["vector"]), targets)


def model(config: Any, names: list[str]) -> nn.Module:
    """A classifier with random weights."""
    return classifiers.build(VectorClassifier, config, names)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    return classifiers.load(VectorClassifier, folder)


class Objective(nn.Module):
    """Cross-entropy."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Labelled) -> Loss:
        """The loss, summed over rows."""
        logits = self.model(numbers=batch.numbers).logits.float()
        return one_class.cross_entropy(logits, batch.targets, batch.weight)


@torch.no_grad()
def outcomes(model: nn.Module, samples: Rows, names: list[str], size: int = 64) -> dict[str, Any]:
    """Per row: label, prediction and confidence."""
    inputs = ((places, {"numbers": batch.numbers}) for places, batch in batches(model, samples, size))
    return one_class.judged(model, inputs, samples.targets)


@torch.no_grad()
def features(probe: LinearProbe, samples: Rows) -> tuple[Tensor, Tensor]:
    """(n, width) and the classes (n,)."""
    parts = [
        (probe.features({"numbers": batch.numbers}), batch.targets) for _, batch in batches(probe, samples)
    ]
    return torch.cat([part for part, _ in parts]), torch.cat([targets for _, targets in parts])


def metrics(outcomes: dict[str, Any], weights: Any, names: list[str]) -> dict[str, Any]:
    """Accuracy for each of r weightings of n rows."""
    correct = (outcomes["label"] == outcomes["prediction"]).astype(np.float64)
    return {"accuracy": weights @ correct / weights.sum(axis=1)}


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The class of each row, and how sure that is."""
    names, rows = classifiers.names(model), inputs["vector"]
    found = outcomes(model, encode(reader, inputs, [names[0]] * len(rows), names), names)
    pairs = zip(found["prediction"], found["confidence"], strict=True)
    return [{"label": names[place], "score": float(score)} for place, score in pairs]
