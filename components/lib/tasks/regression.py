"""Regression: a number for a whole text, such as a rating, an age or a price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.errors import DataError
from components.lib.data.classes import number
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.examples import Examples, Padded
from components.lib.models import loading
from components.lib.models.heads import NumberHead
from components.lib.models.inference import batches
from components.lib.models.text import static
from components.lib.tasks import Reading

NEEDS = ("text",)
OFFERS = ()
LINEAR = "sample"
ROLES = {"text": "text", "label": "label"}
METRICS = {
    "rmse": {"better": "lower", "low": 0.0, "high": None, "title": "root mean squared error"},
    "mae": {"better": "lower", "low": 0.0, "high": None, "title": "mean absolute error"},
    "r2": {"better": "higher", "low": None, "high": 1.0, "title": "R\u00b2"},
    "spearman": {"better": "higher", "low": -1.0, "high": 1.0, "title": "rank correlation (Spearman)"},
}
PRIMARY = "rmse"
FEWEST = 0
USE = "text-classification"
OUTPUTS = (("value", "double"),)

Array = np.ndarray[Any, np.dtype[Any]]


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], float]:
    """A text and its number, checked; raises DataError with the reason."""
    text = values["text"]
    if not isinstance(text, str) or not text.strip():
        raise DataError("the input is not text, or is empty", found=repr(text)[:80])
    return {"text": text}, number(values["label"], reading.missing)


def classes(labels: Iterable[float]) -> list[str]:
    """There are none."""
    return []


def with_unknown(names: list[str], labels: Iterable[float]) -> list[str]:
    """There are none."""
    return []


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids and numbers."""
    encoded, cut = reader.encode(inputs["text"])
    return Examples(encoded["input_ids"], list(map(float, labels)), reader.tokenizer.pad_token_id, cut)


def model(config: Any, names: list[str]) -> nn.Module:
    """Trunk and head with random weights."""
    static.register()
    return NumberHead.from_config(config)


def load(folder: Path) -> NumberHead:
    """The branch in a folder."""
    static.register()
    branch: NumberHead = loading.model(NumberHead, folder).eval()
    return branch


def begin(model: NumberHead, samples: Examples) -> None:
    """The branch learns in deviations from the mean of the labels that it sees."""
    model.fit(torch.tensor(samples.targets))


class Objective(Supervised):
    """Squared error, in squared deviations of the labels."""

    PARTS = ("squared_error",)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over examples."""
        found = self.model(**batch.arguments(self.model)).standard
        wanted = (batch.targets.float() - self.model.mean) / self.model.scale
        errors = (found - wanted).square()
        return Loss(errors.sum(), batch.weight, {"squared_error": errors.detach().sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: Examples, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per example: label and prediction."""
    prediction = np.zeros(len(samples), np.float64)
    for places, batch in batches(model, samples, size):
        prediction[places] = model(**batch.arguments(model)).numbers.double().cpu().numpy()
    return {"label": np.asarray(samples.targets, np.float64), "prediction": prediction}


def compared(labels: Sequence[float], answers: Sequence[Array], names: list[str]) -> dict[str, Array]:
    """Outcomes of numbers, (1,) an example."""
    return {
        "label": np.asarray(labels, np.float64),
        "prediction": np.concatenate(answers).astype(np.float64),
    }


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Errors, R squared and rank correlation for each of r weightings of n examples.

    Args:
        outcomes: columns of (n,).
        weights: (r, n), such as the counts of bootstrap replicates.
    """
    label, prediction = outcomes["label"], outcomes["prediction"]
    weights = weights.astype(np.float64)
    size = weights.sum(axis=1)
    errors = prediction - label
    squares = weights @ errors**2
    centred = label - label.mean()
    spread = weights @ centred**2 - (weights @ centred) ** 2 / size
    varied = spread > 1e-12 * size * max(float(np.square(centred).max(initial=0.0)), 1e-300)
    return {
        "rmse": np.sqrt(squares / size),
        "mae": weights @ np.abs(errors) / size,
        "r2": 1 - np.divide(squares, spread, out=np.full_like(squares, np.nan), where=varied),
        "spearman": correlations(ranks(label, weights), ranks(prediction, weights), weights),
    }


def ranks(values: Array, weights: Array) -> Array:
    """(r, n) mean ranks of n values under r weightings, ties alike, but for a constant."""
    groups = np.unique(values, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")
    sums = np.cumsum(weights[:, order], axis=1)
    last = np.searchsorted(groups[order], np.arange(groups.max(initial=0) + 1), side="right") - 1
    ends = sums[:, last]
    begins = np.concatenate([np.zeros((len(weights), 1)), ends[:, :-1]], axis=1)
    middles: Array = ((begins + ends) / 2)[:, groups]
    return middles


def correlations(a: Array, b: Array, weights: Array) -> Array:
    """Pearson's, (r,), of rows (r, n); 0 where `b` does not vary, NaN where `a` does not."""
    size = weights.sum(axis=1, keepdims=True)
    a, b = (rows - (weights * rows).sum(axis=1, keepdims=True) / size for rows in (a, b))
    both, left, right = ((weights * rows).sum(axis=1) for rows in (a * b, a * a, b * b))
    known = (left > 1e-9) & (right > 1e-9)
    found = np.divide(both, np.sqrt(left * right), out=np.zeros_like(both), where=known)
    return np.where(left > 1e-9, np.clip(found, -1.0, 1.0), np.nan)


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The number of each text."""
    samples = encode(reader, inputs, [0.0] * len(inputs["text"]), [])
    return [{"value": float(value)} for value in outcomes(model, samples, [])["prediction"]]


def shown(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[float]
) -> tuple[str, list[str], list[list[Any]]]:
    """Texts with their numbers and the predicted ones."""
    found = answer(model, reader, inputs)
    rows = zip(inputs["text"], labels, found, strict=True)
    table = [[reader.excerpt(text)["text"], label, one["value"]] for text, label, one in rows]
    return "The first of the test examples.", ["text", "label", "prediction"], table
