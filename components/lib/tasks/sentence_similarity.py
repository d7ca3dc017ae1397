"""How similar two texts are, as a score: semantic textual similarity, relatedness, answer quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.lib.data.classes import number
from components.lib.modalities.text.examples import Examples
from components.lib.modalities.text.text_pairs import checked_pair, encoded_pairs
from components.lib.tasks import Reading, regression

NEEDS = ("text", "tokens")
OFFERS = ()
LINEAR = "pair"
ROLES = {"first": "sentence1", "second": "sentence2", "label": "score"}
CORPUS = ("first", "second")
METRICS = {
    "spearman": {"better": "higher", "low": -1.0, "high": 1.0, "title": "rank correlation (Spearman)"},
    "pearson": {"better": "higher", "low": -1.0, "high": 1.0, "title": "correlation (Pearson)"},
    "rmse": {"better": "lower", "low": 0.0, "high": None, "title": "root mean squared error"},
}
PRIMARY = "spearman"
FEWEST = 0
USE = "sentence-similarity"
OUTPUTS = (("score", "double"),)

Array = np.ndarray[Any, np.dtype[Any]]
begin, classes, compared = regression.begin, regression.classes, regression.compared
Objective, load, model, outcomes = (
    regression.Objective,
    regression.load,
    regression.model,
    regression.outcomes,
)
with_unknown = regression.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], float]:
    """Two texts and their score, checked; raises DataError with the reason."""
    return checked_pair(values), number(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids of pairs and scores."""
    return encoded_pairs(reader, inputs["first"], inputs["second"], list(map(float, labels)))


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Correlations and error for each of r weightings (r, n) of the examples."""
    found, weights = regression.metrics(outcomes, weights, classes), weights.astype(np.float64)
    label, said = (np.broadcast_to(outcomes[name], weights.shape) for name in ("label", "prediction"))
    return {
        "spearman": found["spearman"],
        "pearson": regression.correlations(label, said, weights),
        "rmse": found["rmse"],
    }


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The score of each pair."""
    samples = encode(reader, inputs, [0.0] * len(inputs["first"]), [])
    return [{"score": float(value)} for value in outcomes(model, samples, [])["prediction"]]


def shown(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[float]
) -> tuple[str, list[str], list[list[Any]]]:
    """Pairs with their scores and the predicted ones."""
    found = answer(model, reader, inputs)
    rows = zip(inputs["first"], inputs["second"], labels, found, strict=True)
    table = [
        [*(reader.excerpt(text)["text"] for text in (a, b)), label, one["score"]] for a, b, label, one in rows
    ]
    return "The first of the test examples.", ["first", "second", "score", "prediction"], table
