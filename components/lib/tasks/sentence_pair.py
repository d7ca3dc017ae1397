"""A class for a pair of texts: entailment, paraphrase, whether a passage answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.lib.data.classes import named
from components.lib.modalities.text.examples import Examples
from components.lib.modalities.text.text_pairs import checked_pair, encoded_pairs
from components.lib.models import classifiers
from components.lib.tasks import Reading
from components.lib.tasks import sequence_classification as one_class

NEEDS = ("text", "tokens")
OFFERS = ()
LINEAR = "pair"
ROLES = {"first": "sentence1", "second": "sentence2", "label": "label"}
CORPUS = ("first", "second")
METRICS = {
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"},
    "macro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "macro F1"},
    "calibration_error": {"better": "lower", "low": 0.0, "high": 1.0, "title": "calibration error (ECE)"},
}
PRIMARY = "accuracy"
FEWEST = 2
USE = "text-classification"
OUTPUTS = (("label", "string"), ("score", "double"))

Array = np.ndarray[Any, np.dtype[Any]]
Objective, decided = one_class.Objective, one_class.decided
logits, outcomes = one_class.logits, one_class.outcomes
classes, compared, metrics = one_class.classes, one_class.compared, one_class.metrics
load, model, with_unknown = one_class.load, one_class.model, one_class.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], str]:
    """Two texts and their class, checked; raises DataError with the reason."""
    return checked_pair(values), named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids of pairs and class indices."""
    return encoded_pairs(reader, inputs["first"], inputs["second"], classifiers.places(labels, names))


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The class of each pair, and how sure that is."""
    names = classifiers.names(model)
    samples = encode(reader, inputs, [names[0]] * len(inputs["first"]), names)
    return one_class.answers(outcomes(model, samples, names), names)


def shown(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[str]
) -> tuple[str, list[str], list[list[Any]]]:
    """Pairs with their classes and the predicted ones."""
    found = answer(model, reader, inputs)
    rows = zip(inputs["first"], inputs["second"], labels, found, strict=True)
    table = [
        [*(reader.excerpt(text)["text"] for text in (a, b)), label, one["label"], one["score"]]
        for a, b, label, one in rows
    ]
    return "The first of the test examples.", ["first", "second", "class", "prediction", "score"], table
