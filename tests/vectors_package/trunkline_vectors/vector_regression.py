"""A number for a row of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.errors import DataError
from components.lib.engine.trainable import Loss, Supervised
from components.lib.models import classifiers
from components.lib.models.inference import batches
from trunkline_vectors.network import VectorRegressor
from trunkline_vectors.rows import Labelled, Rows

NEEDS = ("vectors",)
OFFERS = ()
LINEAR = "sample"
ROLES = {"vector": "*", "target": "target"}
METRICS = {
    "rmse": {"better": "lower", "low": 0.0, "high": None, "title": "RMSE"},
    "r2": {"better": "higher", "low": None, "high": 1.0, "title": "R\u00b2"},
}
PRIMARY = "rmse"
FEWEST = 0
USE = "tabular-regression"
OUTPUTS = (("value", "double"),)

load = partial(classifiers.load, VectorRegressor)


def parse(values: Mapping[str, Any], reading: Any) -> tuple[dict[str, Any], float]:
    """A row and its number."""
    try:
        target = float(values["target"])
    except (TypeError, ValueError):
        target = math.nan
    if not math.isfinite(target):
        raise DataError("the target is not a number", found=repr(values["target"]))
    return {"vector": values["vector"]}, target


def classes(labels: Iterable[float]) -> list[str]:
    """None."""
    return []


def with_unknown(names: list[str], labels: Iterable[float]) -> list[str]:
    """None."""
    return []


def encode(reader: Any, inputs: Mapping[str, Sequence[Any]], labels: Any, names: list[str]) -> Rows:
    """Scaled numbers and targets."""
    return Rows(reader.scaling.scaled(inputs["vector"]), np.array(labels, np.float32))


def model(config: Any, names: list[str]) -> nn.Module:
    """With random weights."""
    return classifiers.build(VectorRegressor, config, names)


class Objective(Supervised):
    """Squared error."""

    PARTS = ()

    def forward(self, batch: Labelled) -> Loss:
        """The loss, summed over rows."""
        guessed = self.model(numbers=batch.numbers).logits[:, 0].float()
        return Loss((guessed - batch.targets).square().sum(), batch.weight)


@torch.no_grad()
def outcomes(model: nn.Module, samples: Rows, names: list[str], size: int = 64) -> dict[str, Any]:
    """Per row: label and prediction, both numbers."""
    found = np.zeros(len(samples), np.float64)
    for places, batch in batches(model, samples, size):
        found[places] = model(numbers=batch.numbers).logits[:, 0].double().cpu().numpy()
    return {"label": samples.targets.astype(np.float64), "prediction": found}


def compared(labels: Sequence[float], answers: Sequence[Any], names: list[str]) -> dict[str, Any]:
    """Outcomes of one number a row."""
    return {"label": np.array(labels, np.float64), "prediction": np.concatenate(answers).astype(np.float64)}


def metrics(outcomes: dict[str, Any], weights: Any, names: list[str]) -> dict[str, Any]:
    """Root of the mean squared error, and R squared, for each of r weightings of n rows."""
    label, size = outcomes["label"], weights.sum(axis=1)
    squared = weights @ (outcomes["prediction"] - label) ** 2 / size
    variance = weights @ label**2 / size - (weights @ label / size) ** 2
    return {"rmse": np.sqrt(squared), "r2": 1 - squared / variance}


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The number of each row."""
    rows = inputs["vector"]
    found = outcomes(model, encode(reader, inputs, [0.0] * len(rows), []), [])
    return [{"value": float(value)} for value in found["prediction"]]
