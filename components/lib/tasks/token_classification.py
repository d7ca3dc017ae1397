"""A class for each word: named entities and other spans, in IOB2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification

from components.lib.core.errors import DataError
from components.lib.data.classes import Unlabelled
from components.lib.engine.randomness import Draw, Ints
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.examples import IGNORED, Padded
from components.lib.modalities.text.word_windows import WordWindows, word_windows
from components.lib.models import classifiers
from components.lib.models.inference import batches
from components.lib.models.probe import LinearTagger
from components.lib.tasks import Reading

NEEDS = ("text", "tokens")
OFFERS = ("linear_probe",)
LINEAR = "word"
ROLES = {"text": "text", "label": "label"}
METRICS = {
    "span_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "span F1"},
    "span_precision": {"better": "higher", "low": 0.0, "high": 1.0, "title": "span precision"},
    "span_recall": {"better": "higher", "low": 0.0, "high": 1.0, "title": "span recall"},
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy of words"},
}
PRIMARY = "span_f1"
FEWEST = 2
USE = "token-classification"
OUTPUTS = (("entities", "string"),)

IOB2 = re.compile(r"[BI]-[^\s\ud800-\udfff](.*[^\s\ud800-\udfff])?")
COLUMNS = ("tp", "fp", "fn", "correct", "tokens")

Array = np.ndarray[Any, np.dtype[Any]]
Span = tuple[str, int, int]
Probe = LinearTagger
load = partial(classifiers.load, AutoModelForTokenClassification)
with_unknown = classifiers.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, list[str]], list[str]]:
    """Words and their labels, checked; raises DataError with the reason."""
    value, label = values["text"], values["label"]
    if not isinstance(value, list) or not value:
        raise DataError("there are no words", found=repr(value)[:80])
    odd = [word for word in value if not isinstance(word, str | int)]
    if odd:
        raise DataError("a word is not a string", found=repr(odd[0])[:80])
    if label is None:
        raise Unlabelled("there are no labels", found="None")
    if not isinstance(label, list) or len(label) != len(value):
        found = f"{len(value)} words, {len(label) if isinstance(label, list) else 'no'} labels"
        raise DataError("words and labels do not match", found=found)
    wrong = [name for name in label if name != "O" and not IOB2.fullmatch(str(name))]
    if wrong:
        raise DataError("a label is not IOB2", found=wrong[0], expected="O, B-<type> or I-<type>")
    return {"text": [str(word) for word in value]}, [str(name) for name in label]


def classes(labels: Iterable[list[str]]) -> list[str]:
    """O, then B- and I- of every type that occurs."""
    types = sorted({name[2:] for sequence in labels for name in sequence if name != "O"})
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]


def encode(
    reader: Any, inputs: Mapping[str, Sequence[list[str]]], labels: Sequence[list[str]], names: list[str]
) -> WordWindows:
    """Token ids in windows; the first token of a word carries its class in one of them, the others none."""
    index = {name: number for number, name in enumerate(names)}
    return word_windows(reader, inputs["text"], [[index[name] for name in each] for each in labels])


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForTokenClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(AutoModelForTokenClassification, config, names)


class Objective(Supervised):
    """Cross-entropy on the class of each word."""

    def prepare(self, samples: WordWindows, draw: Draw) -> Padded:
        """A window of each example."""
        return samples.drawn(draw)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over words."""
        logits = self.model(**batch.arguments(self.model)).logits.float()
        total = nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return Loss(total, batch.weight, {"accuracy": (logits.argmax(-1) == batch.targets).sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: WordWindows, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per example: tp, fp and fn of spans, and correct of tokens words; a word without a token is O."""
    table = np.zeros((len(samples), len(COLUMNS)), dtype=np.int64)
    for place, guessed in enumerate(_guessed(model, samples, size)):
        real = [names[kind] for kind in samples.words[place][:, 0]]
        table[place] = _compare(real, [names[kind] for kind in guessed])
    return {name: table[:, number] for number, name in enumerate(COLUMNS)}


def compared(labels: Sequence[list[str]], answers: Sequence[Array], names: list[str]) -> dict[str, Array]:
    """Outcomes of probabilities, (words, classes) an example."""
    guesses = [[names[i] for i in chances.argmax(axis=1)] for chances in answers]
    table = np.array([_compare(*pair) for pair in zip(labels, guesses, strict=True)], np.int64)
    return {name: table[:, number] for number, name in enumerate(COLUMNS)}


def _guessed(model: nn.Module, samples: WordWindows, size: int = 64) -> list[Ints]:
    """Of each example the class index of each word."""
    rows, _ = samples.windows()
    tokens: list[Ints] = [np.empty(0, np.int64)] * len(rows)
    for places, batch in batches(model, rows, size):
        guesses = model(**batch.arguments(model)).logits.argmax(-1).cpu().numpy()
        for place, row in zip(places.tolist(), guesses, strict=True):
            tokens[place] = row
    return samples.answers(tokens, 0)


@torch.no_grad()
def features(probe: LinearTagger, samples: WordWindows) -> tuple[Tensor, Tensor]:
    """(words, width) and their classes (words,), in an order of their own."""
    parts = []
    for _, batch in batches(probe, samples.windows()[0]):
        hidden = probe.features(batch.arguments(probe))
        real = batch.targets != IGNORED
        parts.append((hidden[real], batch.targets[real]))
    return torch.cat([part for part, _ in parts]), torch.cat([targets for _, targets in parts])


@torch.no_grad()
def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The spans of each text, as JSON: type, words, first and last word. Texts are split at white space."""
    names = classifiers.names(model)
    words = [text.split() if isinstance(text, str) else list(map(str, text)) for text in inputs["text"]]
    samples = encode(reader, {"text": words}, [["O"] * len(row) for row in words], names)
    rows = []
    for place, guessed in enumerate(_guessed(model, samples)):
        found = sorted(spans([names[kind] for kind in guessed]), key=lambda span: span[1])
        entities = [
            {"type": kind, "text": " ".join(words[place][first : last + 1]), "first": first, "last": last}
            for kind, first, last in found
        ]
        rows.append({"entities": json.dumps(entities, ensure_ascii=False)})
    return rows


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Micro-averaged precision, recall and F1 of spans, and accuracy of words, for each weighting.

    Args:
        outcomes: columns of (n,).
        weights: (r, n), such as the counts of bootstrap replicates.
    """
    weights = weights.astype(np.float64)
    sums = {name: weights @ outcomes[name] for name in ("tp", "fp", "fn", "correct", "tokens")}
    guessed, real = sums["tp"] + sums["fp"], sums["tp"] + sums["fn"]

    def share(part: Array, whole: Array) -> Array:
        return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)

    return {
        "span_f1": share(2 * sums["tp"], guessed + real),
        "span_precision": share(sums["tp"], guessed),
        "span_recall": share(sums["tp"], real),
        "accuracy": share(sums["correct"], sums["tokens"]),
    }


def spans(labels: list[str]) -> set[Span]:
    """(type, first word, last word) of each span, as conlleval and seqeval read IOB2.

    A span begins at B-, at an I- of another type, and at an I- after O.
    """
    found: set[Span] = set()
    start, kind = 0, ""
    for place, label in enumerate([*labels, "O"]):
        prefix, _, name = label.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.add((kind, start, place - 1))
            kind = ""
        if prefix != "O" and not kind:
            start, kind = place, name
    return found


def _compare(real: list[str], guessed: list[str]) -> tuple[int, int, int, int, int]:
    wanted, given = spans(real), spans(guessed)
    hits = len(wanted & given)
    correct = sum(a == b for a, b in zip(real, guessed, strict=True))
    return hits, len(given) - hits, len(wanted) - hits, correct, len(real)
