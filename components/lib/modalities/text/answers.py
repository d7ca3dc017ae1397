"""Exact match and F1 of answers by SQuAD's rules, and where an answer stands in a context.

Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of text", EMNLP 2016, and "Know what
you don't know", ACL 2018: lower case, without punctuation, English articles and runs of blanks; the best of
several answers counts; where there is no answer, saying so is right and everything else is wrong.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.lib.core.errors import DataError
from components.lib.modalities.text.normalization import normalised

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
EXPECTED = (
    "[{text, answer_start}], or {text: [...], answer_start: [...]}; an empty list where there is no answer"
)

Answer = dict[str, Any]  # {"text", "start"}: of the context, normalised
Array = np.ndarray[Any, np.dtype[Any]]


def plain(text: str) -> str:
    """What of an answer counts."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def scores(answered: str, answers: Sequence[str]) -> tuple[int, float]:
    """Exact match and F1 of what was answered ('' for no answer), against the best of the answers."""
    wanted = [one for one in map(plain, answers) if one] or [""]
    found = plain(answered)
    return int(found in wanted), max(_f1(found.split(), one.split()) for one in wanted)


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    common = sum((Counter(found) & Counter(wanted)).values())
    return 2 * common / (len(found) + len(wanted))


def listed(value: Any) -> list[tuple[str, int]]:
    """(text, place) of each answer once, in SQuAD's form or the Hub's; raises DataError for any other."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise DataError("answers are not as SQuAD has them", found=repr(value)[:80], expected=EXPECTED)
        value = [{"text": a, "answer_start": b} for a, b in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise DataError("answers are not as SQuAD has them", found=repr(value)[:80], expected=EXPECTED)
    found: dict[tuple[str, int], None] = {}
    for one in value:
        text, start = (one.get("text"), one.get("answer_start")) if isinstance(one, Mapping) else (None, None)
        if not isinstance(text, str) or isinstance(start, bool) or not isinstance(start, int):
            raise DataError("answers are not as SQuAD has them", found=repr(one)[:80], expected=EXPECTED)
        found[text, start] = None
    return list(found)


def placed(text: str, start: int, raw: str, context: str) -> Answer:
    """An answer by its place in the context as it is read.

    Args:
        raw: the context as the record has it, in whose characters `start` counts.
        context: the same, normalised.

    Raises:
        DataError: if the answer is empty or does not stand there.
    """
    if not text.strip():
        raise DataError("an answer is empty", found=repr(text), expected="[] where there is no answer")
    there = raw[start : start + len(text)] if start >= 0 else ""
    if there != text:
        found = f"{text[:60]!r} at {start}, where {there[:60]!r} stands"
        raise DataError("an answer is not at its offset", found=found, fix="count in Unicode characters")
    begin = start + len(text) - len(text.lstrip())
    answer, place = normalised(text), len(normalised(f"{raw[:begin]}|")) - 1
    if context[place : place + len(answer)] != answer:
        raise DataError("an answer begins or ends within a character", found=repr(text[:60]))
    return {"text": answer, "start": place}


def outcome_columns(
    contexts: Sequence[str], answers: Sequence[Sequence[Answer]], spans: Sequence[tuple[int, int]]
) -> dict[str, Array]:
    """Per example: exact match, F1, whether there is an answer, the span answered; (-1, -1) is none."""
    rows = []
    for context, wanted, (begin, end) in zip(contexts, answers, spans, strict=True):
        said = context[begin:end] if begin >= 0 else ""
        rows.append((*scores(said, [one["text"] for one in wanted]), bool(wanted), begin, end))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    kinds = {"exact": np.int64, "f1": np.float64, "answerable": np.int64, "begin": np.int64, "end": np.int64}
    return {name: np.array(column, kind) for (name, kind), column in zip(kinds.items(), columns, strict=True)}
