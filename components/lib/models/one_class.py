"""Classifiers of one class a sample, of any modality: its batches have `targets`, `weight` and `arguments`.

Tasks take from here what they share; see components/lib/tasks for what each function is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.models import classifiers
from components.lib.models.inference import batches

BINS = 10  # of the calibration error

Array = np.ndarray[Any, np.dtype[Any]]


class Objective(nn.Module):
    """Cross-entropy on the class of each sample."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def prepare(self, samples: Any, draw: Draw) -> Any:
        """The batch of a draw."""
        return samples.batch(draw.ids)

    def forward(self, batch: Any) -> Loss:
        """The loss, summed over samples."""
        logits = self.model(**batch.arguments(self.model)).logits.float()
        return cross_entropy(logits, batch.targets, batch.weight)


def cross_entropy(logits: Tensor, targets: Tensor, weight: float) -> Loss:
    """Of (n, classes) logits, summed, with the number of right answers."""
    total = nn.functional.cross_entropy(logits, targets, reduction="sum")
    return Loss(total, weight, {"accuracy": (logits.argmax(-1) == targets).sum()})


def classes(labels: Iterable[str]) -> list[str]:
    """The classes that occur, sorted."""
    return sorted(set(labels))


@torch.no_grad()
def outcomes(model: nn.Module, samples: Any, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per example: label, prediction (class indices) and confidence (largest probability)."""
    inputs = ((places, batch.arguments(model)) for places, batch in batches(model, samples, size))
    return judged(model, inputs, np.asarray(samples.targets, np.int64))


def judged(
    model: nn.Module, inputs: Iterable[tuple[Any, dict[str, Tensor]]], label: Array
) -> dict[str, Array]:
    """Outcomes of a classifier whose `inputs` are (places, arguments of a pass)."""
    prediction, confidence = np.zeros(len(label), np.int64), np.zeros(len(label), np.float64)
    for places, given in inputs:
        largest = model(**given).logits.double().softmax(-1).max(-1)
        prediction[places], confidence[places] = largest.indices.cpu().numpy(), largest.values.cpu().numpy()
    return {"label": label, "prediction": prediction, "confidence": confidence}


def compared(labels: Sequence[str], answers: Sequence[Array], names: list[str]) -> dict[str, Array]:
    """Outcomes of probabilities, (1, classes) an example."""
    index = {name: number for number, name in enumerate(names)}
    chances = np.concatenate(answers).astype(np.float64)
    label = np.array([index[one] for one in labels], np.int64)
    return {"label": label, "prediction": chances.argmax(axis=1), "confidence": chances.max(axis=1)}


@torch.no_grad()
def features(probe: Any, samples: Any) -> tuple[Tensor, Tensor]:
    """(n, width) and the classes (n,), in an order of their own."""
    parts = [(probe.features(one.arguments(probe)), one.targets) for _, one in batches(probe, samples)]
    return torch.cat([part for part, _ in parts]), torch.cat([targets for _, targets in parts])


def answered(model: Any, samples: Any) -> list[dict[str, Any]]:
    """The class of each sample, and how sure that is."""
    names = classifiers.names(model)
    found = outcomes(model, samples, names)
    pairs = zip(found["prediction"], found["confidence"], strict=True)
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
