"""One class for a whole text: topic, intent, language."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.errors import DataError
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.text.examples import Examples, Padded, prepare
from components.lib.models import classifiers

MODALITIES = ("text",)
PRIMARY = "accuracy"
USE = {
    "task": "text-classification",
    "pipeline": "TextClassificationPipeline",
    "outputs": (("label", "string"), ("score", "double")),
}
BINS = 10  # of the calibration error

Array = np.ndarray[Any, np.dtype[Any]]


def parse(value: Any, label: Any) -> tuple[str, str]:
    """A record's input and label, checked; raises DataError with the reason."""
    if not isinstance(value, str):
        raise DataError("the input is no text", found=repr(value))
    if not value.strip():
        raise DataError("the text is empty", found=repr(value))
    if not isinstance(label, str | int) or not str(label).strip():
        raise DataError("the label is not a class", found=repr(label), expected="a word or a whole number")
    return value, str(label).strip()


def classes(labels: Iterable[str]) -> list[str]:
    """The classes that occur, sorted."""
    return sorted(set(labels))


def encode(tokenizer: Any, inputs: list[str], labels: list[str], names: list[str], length: int) -> Examples:
    """Token ids, cut to `length`, and class indices."""
    encoded = tokenizer(inputs, truncation=True, max_length=length, return_attention_mask=False)["input_ids"]
    index = {name: number for number, name in enumerate(names)}
    return Examples(encoded, [index[label] for label in labels], tokenizer.pad_token_id)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForSequenceClassification` of the trunk's architecture, with random weights."""
    from transformers import AutoModelForSequenceClassification

    return classifiers.build(AutoModelForSequenceClassification, config, names)


class Task(nn.Module):
    """Cross-entropy on the class of each text."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over examples."""
        logits = self.model(input_ids=batch.ids, attention_mask=batch.mask).logits.float()
        total = nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
        return Loss(total, batch.weight, {"accuracy": (logits.argmax(-1) == batch.targets).sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: Examples, names: list[str], batch_size: int = 64) -> dict[str, Array]:
    """Per example: label, prediction (class indices) and confidence (largest probability)."""
    model.eval()
    device = next(model.parameters()).device
    prediction = np.zeros(len(samples), dtype=np.int64)
    confidence = np.zeros(len(samples), dtype=np.float64)
    for chosen in samples.by_length(batch_size):
        batch = moved(samples.batch(chosen), device)
        logits: Tensor = model(input_ids=batch.ids, attention_mask=batch.mask).logits.double()
        largest = logits.softmax(-1).max(-1)
        prediction[chosen], confidence[chosen] = largest.indices.cpu().numpy(), largest.values.cpu().numpy()
    label = np.asarray(samples.targets, dtype=np.int64)
    return {"label": label, "prediction": prediction, "confidence": confidence}


def score(folder: Path, examples: Any, batch_size: int = 64) -> dict[str, Array]:
    """Outcomes of the branch in `folder` on a table with columns `text` and `label`."""
    from transformers import AutoModelForSequenceClassification

    branch, tokenizer = classifiers.load(AutoModelForSequenceClassification, folder)
    columns = examples.to_pydict()
    names = classifiers.with_unknown(classifiers.names(branch), columns["label"])
    samples = encode(tokenizer, columns["text"], columns["label"], names, classifiers.length(tokenizer))
    return outcomes(branch, samples, names, batch_size)


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
