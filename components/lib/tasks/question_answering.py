"""Extractive question answering: the span of a context that answers a question, or none (SQuAD)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForQuestionAnswering

from components.lib.core.errors import DataError
from components.lib.data.classes import Unlabelled
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.answers import Answer, listed, outcome_columns, placed, scores
from components.lib.modalities.text.examples import Padded
from components.lib.modalities.text.long_texts import LONGEST
from components.lib.modalities.text.passages import ANSWER, Passages, best_spans, windowed
from components.lib.modalities.text.words import CONTINUOUS
from components.lib.models import classifiers
from components.lib.models.inference import batches
from components.lib.tasks import Reading

NEEDS = ("text", "tokens")
OFFERS = ()
LINEAR = "answer"
ROLES = {"question": "question", "context": "context", "answers": "answers"}

CORPUS = ("context",)
METRICS = {
    "f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "F1 of words"},
    "exact_match": {"better": "higher", "low": 0.0, "high": 1.0, "title": "exact match"},
    "answerable_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "F1 where there is an answer"},
    "no_answer_accuracy": {
        "better": "higher",
        "low": 0.0,
        "high": 1.0,
        "title": "accuracy where there is no answer",
    },
}
PRIMARY = "f1"
FEWEST = 0
USE = "question-answering"
OUTPUTS = (("answer", "string"), ("score", "double"), ("start", "long"), ("end", "long"))
NAMES = ["start", "end"]  # of the two logits of a token
WORD = re.compile(rf"[{CONTINUOUS}]|[^\W{CONTINUOUS}]+|[^\w\s]")
NEAR = 80  # characters on each side of a span in a report

Array = np.ndarray[Any, np.dtype[Any]]
load = partial(classifiers.load, AutoModelForQuestionAnswering)


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], list[Answer]]:
    """A question, a context and its answers, checked; raises DataError with the reason.

    Args:
        values: `answers` as `answers.listed` reads them, whose places count in the context as it was given.
    """
    for role in ("question", "context"):
        if not isinstance(values[role], str) or not values[role].strip():
            raise DataError(f"the {role} is not text, or is empty", found=repr(values[role])[:80])
    if values["answers"] is None:
        raise Unlabelled("there are no answers", found="None")
    raw = reading.raw.get("context", values["context"])
    found = [placed(text, start, raw, values["context"]) for text, start in listed(values["answers"])]
    return {"question": values["question"], "context": values["context"]}, found


def classes(labels: Iterable[Any]) -> list[str]:
    """There are none."""
    return []


def with_unknown(names: list[str], labels: Iterable[Any]) -> list[str]:
    """There are none."""
    return []


def encode(
    reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[list[Answer]], names: list[str]
) -> Passages:
    """Token ids of questions with the windows of their contexts."""
    return windowed(reader, inputs["question"], inputs["context"], labels)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForQuestionAnswering` of the trunk's architecture, with random weights."""
    return classifiers.build(AutoModelForQuestionAnswering, config, NAMES)


class Objective(Supervised):
    """Cross-entropy on first and last token of the answer; both are the first of the row if there is none."""

    def prepare(self, samples: Passages, draw: Any) -> Padded:
        """A window of each example."""
        return samples.drawn(draw)

    def forward(self, batch: Padded) -> Loss:
        """The loss, summed over first and last tokens."""
        given = batch.arguments(self.model)
        answer, hidden = self.model(**given), batch.mask == 0
        logits = torch.stack([answer.start_logits, answer.end_logits], 2).float()
        logits = logits.masked_fill(hidden[:, :, None], torch.finfo(logits.dtype).min)
        targets = batch.targets[:, :2]
        total = nn.functional.cross_entropy(logits, targets, reduction="sum")
        return Loss(total, batch.weight, {"accuracy": (logits.argmax(1) == targets).sum()})


@torch.no_grad()
def outcomes(model: nn.Module, samples: Passages, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per example: exact match, F1, whether there is an answer, and begin and end of what was answered."""
    spans = [span for _, span in _answered(model, samples, size)]
    return outcome_columns(samples.contexts, samples.answers, spans)


def _answered(model: nn.Module, samples: Passages, size: int = 64) -> list[tuple[float, tuple[int, int]]]:
    """Per example by how much a span is above no answer, its begin and end; (-1, -1) if it is below."""
    rows, chosen = samples.windows()
    found = np.zeros((len(chosen), 3))
    inside = np.array([samples.inside[one] for one in chosen])
    last = inside + np.array([len(samples.offsets[one]) for one in chosen])
    for places, batch in batches(model, rows, size):
        answer = model(**batch.arguments(model))
        logits = answer.start_logits.float(), answer.end_logits.float()
        ends = (torch.from_numpy(one[places]).to(batch.ids.device) for one in (inside, last))
        found[places] = torch.stack([one.double() for one in best_spans(*logits, *ends)], 1).cpu().numpy()
    answers, at = [], 0
    for many in samples.many.tolist():
        best = at + int(found[at : at + many, 0].argmax())
        margin, begin, end = found[best]
        offsets, shift = samples.offsets[chosen[best]], inside[best]
        span = (-1, -1)
        if margin > 0:
            span = (int(offsets[int(begin) - shift][0]), int(offsets[int(end) - shift][1]))
        answers.append((float(margin), span))
        at += many
    return answers


def worded(text: str) -> list[tuple[str, tuple[int, int]]]:
    """The words and signs of a text, with begin and end."""
    return [(match.group(), match.span()) for match in WORD.finditer(text[:LONGEST])]


def linear_inputs(inputs: Mapping[str, Sequence[str]], labels: Any) -> dict[str, list[list[str]]]:
    """The words of questions and contexts."""
    return {role: [[word for word, _ in worded(text)] for text in texts] for role, texts in inputs.items()}


def linear_targets(
    inputs: Mapping[str, Sequence[str]], labels: Sequence[list[Answer]], names: list[str]
) -> tuple[list[list[str]], list[str], list[Any]]:
    """Of each word of a context whether the first answer begins there (B), goes on (I), or not (O)."""
    targets, known = [], []
    for context, answers in zip(inputs["context"], labels, strict=True):
        begin = answers[0]["start"] if answers else -1
        end = begin + len(answers[0]["text"]) if answers else -1
        words = [place for _, place in worded(context)]
        inside = [last > begin and first < end for first, last in words]
        before = [False, *inside[:-1]]
        targets.append(
            ["O" if not now else "I" if was else "B" for now, was in zip(inside, before, strict=True)]
        )
        known.append((context, words, answers))
    return targets, ["O", "B", "I"], known


def compared(labels: Sequence[Any], answers: Sequence[Array], names: list[str]) -> dict[str, Array]:
    """Outcomes of probabilities, (words, 3) an example: the span whose words are most above O."""
    spans = []
    for (_, words, _), chances in zip(labels, answers, strict=True):
        gains = np.log(np.maximum(chances[:, 1:], 1e-12)) - np.log(np.maximum(chances[:, :1], 1e-12))
        sums = np.concatenate([[0.0], np.cumsum(gains[:, 1])])
        ends = [
            (gains[i, 0] + sums[j + 1] - sums[i + 1], i, j)
            for i in range(len(words))
            for j in range(i, min(len(words), i + ANSWER))
        ]
        best, begin, end = max(ends)
        spans.append((words[begin][0], words[end][1]) if best > 0 else (-1, -1))
    return outcome_columns([one[0] for one in labels], [one[2] for one in labels], spans)


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """F1 and exact match over all examples, and by whether they have an answer, for each weighting.

    Args:
        outcomes: columns of (n,).
        weights: (r, n), such as the counts of bootstrap replicates.
    """
    weights, has = weights.astype(np.float64), outcomes["answerable"].astype(np.float64)

    def mean(values: Array, of: Array) -> Array:
        whole = weights @ of
        return np.divide(weights @ (values * of), whole, out=np.full_like(whole, np.nan), where=whole > 0)

    every = np.ones_like(has)
    return {
        "f1": mean(outcomes["f1"], every),
        "exact_match": mean(outcomes["exact"], every),
        "answerable_f1": mean(outcomes["f1"], has),
        "no_answer_accuracy": mean(outcomes["exact"], 1 - has),
    }


def constant(outcomes: dict[str, Array], classes: list[str]) -> tuple[str, dict[str, Array]]:
    """No answer to any question."""
    right = 1 - outcomes["answerable"]
    return "no answer", {**outcomes, "exact": right, "f1": right.astype(np.float64)}


@torch.no_grad()
def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The span that answers each question, how sure it is that there is one, and its place in the context.

    The place counts in the context as it is read (NFC, without blanks at its ends); -1 and '' for no answer.
    """
    contexts = inputs["context"]
    samples = encode(reader, inputs, [[] for _ in contexts], [])
    return [
        {
            "answer": context[begin:end] if begin >= 0 else "",
            "score": float(1 / (1 + np.exp(-np.clip(margin, -700, 700)))),
            "start": begin,
            "end": end,
        }
        for context, (margin, (begin, end)) in zip(contexts, _answered(model, samples), strict=True)
    ]


def shown(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[list[Answer]]
) -> tuple[str, list[str], list[list[Any]]]:
    """Questions with the spans that were answered, marked in their contexts, and with the true answers."""
    rows: list[list[Any]] = []
    for place, said in enumerate(answer(model, reader, inputs)):
        wanted = [one["text"] for one in labels[place]]
        context, begin, end = inputs["context"][place], said["start"], said["end"]
        marked = f"{context[: 2 * NEAR]}\u2026"[: len(context)]
        if begin >= 0:
            before, after = context[max(0, begin - NEAR) : begin], context[end : end + NEAR]
            marked = f"{before}\u3010{said['answer']}\u3011{after}"
        exact, f1 = scores(said["answer"], wanted)
        right = "exact" if exact else f"F1 {f1:.2f}"
        truth = " / ".join(dict.fromkeys(wanted)) or "no answer"
        rows.append([inputs["question"][place], " ".join(marked.split()), truth, right, said["score"]])
    headers = ["question", "context, with the answer given", "true answers", "match", "score"]
    return (
        "What was answered is marked \u3010so\u3011; a context without a mark was given no answer.",
        headers,
        rows,
    )
