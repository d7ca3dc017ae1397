"""Multi-label classification: any number of classes for a whole text, such as tags or emotions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.classes import Unlabelled, named
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.examples import Examples, Padded
from components.lib.models import classifiers
from components.lib.models.inference import batches
from components.lib.tasks import Reading
from components.lib.tasks import sequence_classification as one_class

NEEDS = ("text",)
OFFERS = ()
LINEAR = "sample"
ROLES = {"text": "text", "labels": "labels"}
METRICS = {
    "micro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "micro F1"},
    "macro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "macro F1"},
    "exact_match": {"better": "higher", "low": 0.0, "high": 1.0, "title": "share with all classes right"},
}
PRIMARY = "micro_f1"
FEWEST = 1
USE = "text-classification"
OUTPUTS = (("labels", "string"), ("scores", "string"))
LEAST = 0.5  # probability of a class that is answered

Array = np.ndarray[Any, np.dtype[Any]]
load, model, with_unknown = one_class.load, one_class.model, classifiers.with_unknown


@dataclass(frozen=True)
class Config:
    """How classes are written."""

    separator: str = setting("", "what stands between the classes of a text; empty: a list, or one class")


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], list[str]]:
    """A text and its classes, each once, sorted: of a list, perhaps an empty one, or {class: 0 or 1}.

    Raises DataError with the reason.
    """
    text, value = values["text"], values["labels"]
    if not isinstance(text, str) or not text.strip():
        raise DataError("the input is not text, or is empty", found=repr(text)[:80])
    if value is None:
        raise Unlabelled("there are no labels", found="None")
    separator = (reading.options or Config()).separator
    if isinstance(value, Mapping):
        odd = [one for one in value.values() if one not in (0, 1)]
        if odd:
            raise DataError("a class is neither there nor not", found=repr(odd[0])[:80], expected="0 or 1")
        value = [name for name, there in value.items() if there]
    elif isinstance(value, str) and separator:
        value = [part for part in value.split(separator) if part.strip()]
    elif not isinstance(value, list):
        value = [value]
    return {"text": text}, sorted({named(one, reading.missing) for one in value})


def classes(labels: Iterable[list[str]]) -> list[str]:
    """The classes that occur, sorted."""
    return sorted({name for each in labels for name in each})


def encode(reader: Any, inputs: Mapping[str, Sequence[str]], labels: Any, names: list[str]) -> Examples:
    """Token ids, and whether each class is there."""
    encoded, cut = reader.encode(inputs["text"])
    targets = [tuple(int(name in each) for name in names) for each in labels]
    return Examples(encoded["input_ids"], targets, reader.tokenizer.pad_token_id, cut)


def begin(model: Any, samples: Examples) -> None:
    """Says to `transformers` that classes do not exclude each other."""
    model.config.problem_type = "multi_label_classification"


class Objective(Supervised):
    """Binary cross-entropy on each class of each text."""

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over examples and classes."""
        logits = self.model(**batch.arguments(self.model)).logits.float()
        targets = batch.targets.to(logits.dtype)
        total = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        return Loss(total, batch.weight, {"accuracy": ((logits > 0) == (targets > 0)).sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: Examples, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per example and class: whether it is there (`real/x`), and its probability (`chance/x`)."""
    chances = np.zeros((len(samples), len(names)))
    for places, batch in batches(model, samples, size):
        logits = model(**batch.arguments(model)).logits
        chances[places, : logits.shape[1]] = logits.double().sigmoid().cpu().numpy()
    return _columns(np.array(samples.targets, np.int64).reshape(-1, len(names)), chances, names)


def _columns(real: Array, chances: Array, names: list[str]) -> dict[str, Array]:
    columns = {f"real/{name}": real[:, place] for place, name in enumerate(names)}
    return columns | {f"chance/{name}": chances[:, place] for place, name in enumerate(names)}


def linear_targets(
    inputs: Mapping[str, Sequence[str]], labels: Sequence[list[str]], names: list[str]
) -> tuple[list[Array], list[str], Sequence[list[str]]]:
    """Whether each class is there."""
    return [np.array([name in each for name in names], np.int64) for each in labels], names, labels


def compared(labels: Sequence[list[str]], answers: Sequence[Array], names: list[str]) -> dict[str, Array]:
    """Outcomes of probabilities, (1, classes) an example."""
    real = np.array([[name in each for name in names] for each in labels], np.int64)
    return _columns(real, np.concatenate(answers).astype(np.float64), names)


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """F1 over all decisions, its mean over classes, and the share of examples without a wrong decision.

    Args:
        outcomes: columns of (n,).
        weights: (r, n), such as the counts of bootstrap replicates.

    Returns:
        (r,) each. Macro-F1 is over the classes that occur in the labels or the answers of a weighting.
    """
    weights = weights.astype(np.float64)
    real = np.stack([outcomes[f"real/{name}"] for name in classes], axis=1).astype(bool)
    guessed = np.stack([outcomes[f"chance/{name}"] for name in classes], axis=1) >= LEAST
    hits, either = weights @ (real & guessed), weights @ real + weights @ guessed
    every = either.sum(axis=1)
    f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0)
    present = (either > 0).sum(axis=1)

    def share(part: Array, whole: Array) -> Array:
        return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)

    return {
        "micro_f1": share(2 * hits.sum(axis=1), every),
        "macro_f1": share(f1.sum(axis=1), present.astype(np.float64)),
        "exact_match": weights @ (real == guessed).all(axis=1) / weights.sum(axis=1),
    }


def constant(outcomes: dict[str, Array], classes: list[str]) -> tuple[str, dict[str, Array]]:
    """The most frequent class for every text."""
    best = max(classes, key=lambda name: int(outcomes[f"real/{name}"].sum()))
    chances = {
        f"chance/{name}": np.full(len(outcomes[f"real/{best}"]), name == best, float) for name in classes
    }
    return best, {**outcomes, **chances}


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The classes of each text as a JSON list, and the probability of every class as a JSON object."""
    names, rows = classifiers.names(model), []
    found = outcomes(model, encode(reader, inputs, [[]] * len(inputs["text"]), names), names)
    for place in range(len(inputs["text"])):
        chances = {name: float(found[f"chance/{name}"][place]) for name in names}
        labels = [name for name, chance in chances.items() if chance >= LEAST]
        rows.append({"labels": json.dumps(labels), "scores": json.dumps(chances)})
    return rows


def shown(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[list[str]]
) -> tuple[str, list[str], list[list[Any]]]:
    """Texts with their classes and the answered ones."""
    found = [json.loads(one["labels"]) for one in answer(model, reader, inputs)]
    rows = zip(inputs["text"], labels, found, strict=True)
    table = [[reader.excerpt(text)["text"], ", ".join(each), ", ".join(said)] for text, each, said in rows]
    return "The first of the test examples.", ["text", "classes", "answered"], table
