"""A class for each word: named entities and other spans, in IOB2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.errors import DataError
from components.lib.engine.trainable import Loss
from components.lib.engine.transfer import moved
from components.lib.modalities.text.examples import IGNORED, Examples, Padded, prepare
from components.lib.models import classifiers

MODALITIES = ("text",)
PRIMARY = "span_f1"
USE = {
    "task": "token-classification",
    "pipeline": "TokenClassificationPipeline",
    "outputs": (("", "string"),),
}

Array = np.ndarray[Any, np.dtype[Any]]
Span = tuple[str, int, int]


def parse(value: Any, label: Any) -> tuple[list[str], list[str]]:
    """A record's words and their labels, checked; raises DataError with the reason."""
    if not isinstance(value, list) or not value:
        raise DataError("there are no words", found=repr(value)[:80])
    odd = [word for word in value if not isinstance(word, str | int)]
    if odd:
        raise DataError("a word is no word", found=repr(odd[0])[:80])
    if not isinstance(label, list) or len(label) != len(value):
        found = f"{len(value)} words, {len(label) if isinstance(label, list) else 'no'} labels"
        raise DataError("words and labels do not match", found=found)
    wrong = [name for name in label if name != "O" and str(name)[:2] not in ("B-", "I-")]
    if wrong:
        raise DataError("a label is not IOB2", found=wrong[0], expected="O, B-<type> or I-<type>")
    return [str(word) for word in value], [str(name) for name in label]


def classes(labels: Iterable[list[str]]) -> list[str]:
    """O, then B- and I- of every type that occurs."""
    types = sorted({name[2:] for sequence in labels for name in sequence if name != "O"})
    return ["O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]


def encode(
    tokenizer: Any, inputs: list[list[str]], labels: list[list[str]], names: list[str], length: int
) -> Examples:
    """Token ids, cut to `length`; the first token of a word carries its class, the others none."""
    encoded = tokenizer(
        inputs, is_split_into_words=True, truncation=True, max_length=length, return_attention_mask=False
    )
    index = {name: number for number, name in enumerate(names)}
    targets = []
    for row, sequence in enumerate(labels):
        words = encoded.word_ids(row)
        first = [
            word is not None and word != before for word, before in zip(words, [None, *words], strict=False)
        ]
        targets.append(
            [index[sequence[word]] if new else IGNORED for word, new in zip(words, first, strict=True)]
        )
    return Examples(encoded["input_ids"], targets, tokenizer.pad_token_id)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForTokenClassification` of the trunk's architecture, with random weights."""
    from transformers import AutoModelForTokenClassification

    return classifiers.build(AutoModelForTokenClassification, config, names)


class Task(nn.Module):
    """Cross-entropy on the class of each word."""

    PARTS = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    prepare = staticmethod(prepare)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over words."""
        logits = self.model(input_ids=batch.ids, attention_mask=batch.mask).logits.float()
        total = nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return Loss(total, batch.weight, {"accuracy": (logits.argmax(-1) == batch.targets).sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: Examples, names: list[str], batch_size: int = 64) -> dict[str, Array]:
    """Per example: tp, fp and fn of spans, and correct of tokens words."""
    model.eval()
    device = next(model.parameters()).device
    columns = ("tp", "fp", "fn", "correct", "tokens")
    table = np.zeros((len(samples), len(columns)), dtype=np.int64)
    for chosen in samples.by_length(batch_size):
        batch = samples.batch(chosen)
        there = moved(batch, device)
        guesses = model(input_ids=there.ids, attention_mask=there.mask).logits.argmax(-1).cpu().numpy()
        for row, example in enumerate(chosen):
            target = batch.targets[row].numpy()
            real = [names[i] for i in target[target != IGNORED]]
            guessed = [names[i] for i in guesses[row][target != IGNORED]]
            table[example] = _compare(real, guessed)
    return {name: table[:, number] for number, name in enumerate(columns)}


def score(folder: Path, examples: Any, batch_size: int = 64) -> dict[str, Array]:
    """Outcomes of the branch in `folder` on a table with columns `tokens` and `label`."""
    from transformers import AutoModelForTokenClassification

    branch, tokenizer = classifiers.load(AutoModelForTokenClassification, folder)
    columns = examples.to_pydict()
    names = classifiers.with_unknown(classifiers.names(branch), columns["label"])
    samples = encode(tokenizer, columns["tokens"], columns["label"], names, classifiers.length(tokenizer))
    return outcomes(branch, samples, names, batch_size)


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
