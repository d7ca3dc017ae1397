"""One class for a whole text: topic, intent, language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from components.lib.core.errors import DataError
from components.lib.data.classes import named
from components.lib.modalities.text.examples import Examples
from components.lib.models import classifiers, one_class
from components.lib.models.probe import LinearProbe
from components.lib.tasks import Reading

NEEDS = ("text",)
OFFERS = ("linear_probe", "vote")
LINEAR = "sample"
ROLES = {"text": "text", "label": "label"}
METRICS = {
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"},
    "macro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "macro F1"},
    "calibration_error": {"better": "lower", "low": 0.0, "high": 1.0, "title": "calibration error (ECE)"},
}
PRIMARY = "accuracy"
FEWEST = 2
USE = "text-classification"
OUTPUTS = (("label", "string"), ("score", "double"))

Objective, Probe = one_class.Objective, LinearProbe
classes, with_unknown = one_class.classes, classifiers.with_unknown
compared, features = one_class.compared, one_class.features
metrics, outcomes = one_class.metrics, one_class.outcomes


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], str]:
    """A text and its class, checked; raises DataError with the reason."""
    text = values["text"]
    if not isinstance(text, str):
        raise DataError("the input is no text", found=repr(text))
    if not text.strip():
        raise DataError("the text is empty", found=repr(text))
    return {"text": text}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids and class indices."""
    index = {name: number for number, name in enumerate(names)}
    encoded, cut = reader.encode(inputs["text"])
    targets = [index[label] for label in labels]
    return Examples(encoded["input_ids"], targets, reader.tokenizer.pad_token_id, cut)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForSequenceClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(_auto(), config, names)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    return classifiers.load(_auto(), folder)


def _auto() -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The class of each text, and how sure that is."""
    names, texts = classifiers.names(model), inputs["text"]
    return one_class.answered(model, encode(reader, inputs, [names[0]] * len(texts), names))
