"""A class for a pair of texts: entailment, paraphrase, whether a passage answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.data.classes import named
from components.lib.engine.trainable import Loss
from components.lib.modalities.text.examples import Examples, Padded, prepare
from components.lib.modalities.text.text_pairs import checked_pair, encoded_pairs
from components.lib.models import calibration, classifiers
from components.lib.models.inference import batches
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
classes, compared, decided, metrics = (
    one_class.classes,
    one_class.compared,
    one_class.decided,
    one_class.metrics,
)
load, model, with_unknown = one_class.load, one_class.model, one_class.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], str]:
    """Two texts and their class, checked; raises DataError with the reason."""
    return checked_pair(values), named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids of pairs and class indices."""
    index = {name: number for number, name in enumerate(names)}
    return encoded_pairs(reader, inputs["first"], inputs["second"], [index[label] for label in labels])


class Objective(nn.Module):
    """Cross-entropy on the class of each pair."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over examples."""
        logits = self.model(**batch.arguments(self.model)).logits.float()
        return one_class.cross_entropy(logits, batch.targets, batch.weight)


@torch.no_grad()
def logits(model: nn.Module, samples: Examples, size: int = 64) -> Array:
    """(n, classes)."""
    inputs = ((at, batch.arguments(model)) for at, batch in batches(model, samples, size))
    return one_class.passed(model, inputs, len(samples))


def outcomes(model: nn.Module, samples: Examples, names: list[str], size: int = 64) -> dict[str, Array]:
    """As `decided`, at the branch's temperature."""
    return decided(logits(model, samples, size), samples, calibration.temperature(model))


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The class of each pair, and how sure that is."""
    names = classifiers.names(model)
    found = outcomes(model, encode(reader, inputs, [names[0]] * len(inputs["first"]), names), names)
    pairs = zip(found["prediction"], found["confidence"], strict=True)
    return [{"label": names[place], "score": float(score)} for place, score in pairs]


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
