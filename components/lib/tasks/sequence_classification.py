"""One class for a whole text: topic, intent, language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from components.lib.core.errors import DataError
from components.lib.data.classes import named
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.examples import Examples
from components.lib.models import calibration, classifiers
from components.lib.models.inference import batches
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
BINS = 10  # of the calibration error

Array = np.ndarray[Any, np.dtype[Any]]
Probe = LinearProbe
load = partial(classifiers.load, AutoModelForSequenceClassification)
with_unknown = classifiers.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], str]:
    """A text and its class, checked; raises DataError with the reason."""
    text = values["text"]
    if not isinstance(text, str):
        raise DataError("the input is not text", found=repr(text))
    if not text.strip():
        raise DataError("the text is empty", found=repr(text))
    return {"text": text}, named(values["label"], reading.missing)


def classes(labels: Iterable[str]) -> list[str]:
    """The classes that occur, sorted."""
    return sorted(set(labels))


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids and class indices."""
    encoded, cut = reader.encode(inputs["text"])
    targets = classifiers.places(labels, names)
    return Examples(encoded["input_ids"], targets, reader.tokenizer.pad_token_id, cut)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForSequenceClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(AutoModelForSequenceClassification, config, names)


class Objective(Supervised):
    """Cross-entropy on the class of each example."""

    def forward(self, batch: Any) -> Loss:
        """The loss, summed over examples."""
        logits = self.model(**batch.arguments(self.model)).logits.float()
        return cross_entropy(logits, batch.targets, batch.weight)


def cross_entropy(logits: Tensor, targets: Tensor, weight: float) -> Loss:
    """Of (n, classes) logits, summed, with the number of right answers."""
    total = nn.functional.cross_entropy(logits, targets, reduction="sum")
    return Loss(total, weight, {"accuracy": (logits.argmax(-1) == targets).sum()})


@torch.no_grad()
def logits(model: nn.Module, samples: Any, size: int = 64) -> Array:
    """(n, classes)."""
    inputs = ((places, batch.arguments(model)) for places, batch in batches(model, samples, size))
    return passed(model, inputs, len(samples))


def passed(model: nn.Module, inputs: Iterable[tuple[Any, dict[str, Tensor]]], n: int) -> Array:
    """(n, classes) logits of a classifier whose `inputs` are (places, arguments of a pass)."""
    parts = [(places, model(**given).logits.double().cpu().numpy()) for places, given in inputs]
    found = np.zeros((n, parts[0][1].shape[1] if parts else 1))
    for places, part in parts:
        found[places] = part
    return found


def decided(logits: Array, samples: Any, temperature: float = 1.0) -> dict[str, Array]:
    """Per example: label, prediction (class indices) and confidence (largest probability)."""
    chances = torch.from_numpy(logits / temperature).softmax(dim=1).numpy()
    label = np.asarray(samples.targets, np.int64)
    return {"label": label, "prediction": logits.argmax(axis=1), "confidence": chances.max(axis=1)}


def outcomes(model: nn.Module, samples: Any, names: list[str], size: int = 64) -> dict[str, Array]:
    """As `decided`, at the branch's temperature."""
    return decided(logits(model, samples, size), samples, calibration.temperature(model))


def compared(labels: Sequence[str], answers: Sequence[Array], names: list[str]) -> dict[str, Array]:
    """Outcomes of probabilities, (1, classes) an example."""
    chances = np.concatenate(answers).astype(np.float64)
    label = np.array(classifiers.places(labels, names), np.int64)
    return {"label": label, "prediction": chances.argmax(axis=1), "confidence": chances.max(axis=1)}


@torch.no_grad()
def features(probe: LinearProbe, samples: Any, size: int = 64) -> tuple[Tensor, Tensor]:
    """(n, width) and the classes (n,), in an order of their own."""
    found = (batch for _, batch in batches(probe, samples, size))
    parts = [(probe.features(batch.arguments(probe)), batch.targets) for batch in found]
    return torch.cat([part for part, _ in parts]), torch.cat([targets for _, targets in parts])


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The class of each text, and how sure that is."""
    names = classifiers.names(model)
    samples = encode(reader, inputs, [names[0]] * len(inputs["text"]), names)
    return answers(outcomes(model, samples, names), names)


def answers(outcomes: dict[str, Array], names: list[str]) -> list[dict[str, Any]]:
    """What is served of outcomes: classes, and how sure they are."""
    pairs = zip(outcomes["prediction"], outcomes["confidence"], strict=True)
    return [{"label": names[place], "score": float(score)} for place, score in pairs]


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Accuracy, macro-F1 and expected calibration error for each of r weightings of n examples.

    Args:
        outcomes: columns of (n,).
        weights: (r, n), such as the counts of bootstrap replicates.

    Returns:
        (r,) each. Macro-F1 is over the classes that occur in the labels or the predictions of a
        weighting. Calibration error: Guo et al., "On calibration of modern neural networks", 2017.
    """
    label, prediction = outcomes["label"], outcomes["prediction"]
    correct, one_hot = (label == prediction).astype(np.float64), np.eye(len(classes))
    bins = np.eye(BINS)[np.minimum((outcomes["confidence"] * BINS).astype(int), BINS - 1)]
    parts = (
        one_hot[label],
        one_hot[prediction],
        one_hot[label] * correct[:, None],
        bins * (correct - outcomes["confidence"])[:, None],
        np.stack([correct, np.ones_like(correct)], axis=1),
    )
    sums = weights.astype(np.float64, copy=False) @ np.hstack(parts)  # at once: reading weights is what costs
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    real, guessed, hits, gap, (right, size) = (part.T for part in np.split(sums, ends, axis=1))
    present = (real + guessed) > 0
    f1 = np.divide(2 * hits, real + guessed, out=np.zeros_like(hits), where=present)
    return {
        "accuracy": right / size,
        "macro_f1": f1.sum(axis=0) / present.sum(axis=0),
        "calibration_error": np.abs(gap).sum(axis=0) / size,
    }
