"""Queries with the documents that answer them: samples, batches of both, and quality of rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.core.errors import DataError
from components.lib.data.classes import Unlabelled
from components.lib.engine.randomness import Draw, Ints
from components.lib.modalities.text.examples import Examples, Padded
from components.lib.modalities.text.normalization import normalised

DEPTH = 10  # documents of a ranking that count
EXPECTED = "a text, a list of texts, or {text: [...], relevance: [...]}"

Relevant = list[dict[str, Any]]  # {"text", "relevance"}; those with 0 are known not to be
Array = np.ndarray[Any, np.dtype[Any]]


def relevant(value: Any) -> Relevant:
    """The documents of a query with their grades (1 where none are given), each once; raises DataError."""
    if value is None:
        raise Unlabelled("there is no document", found="None")
    texts, grades = (
        (value.get("text"), value.get("relevance")) if isinstance(value, Mapping) else (value, None)
    )
    texts = [texts] if isinstance(texts, str) else texts
    grades = [grades] if isinstance(grades, int | float) else grades
    if not isinstance(texts, list) or not isinstance(grades, list | None):
        raise DataError("documents are not texts", found=repr(value)[:80], expected=EXPECTED)
    grades = [1.0] * len(texts) if grades is None else grades
    found: dict[str, float] = {}
    for text, grade in zip(texts, grades, strict=False):
        if not isinstance(text, str) or not normalised(text):
            raise DataError("a document is not text, or is empty", found=repr(text)[:80], expected=EXPECTED)
        if isinstance(grade, bool) or not isinstance(grade, int | float) or not 0 <= grade < np.inf:
            raise DataError("a relevance is not a grade", found=repr(grade)[:80], expected="0 or more")
        found[normalised(text)] = max(float(grade), found.get(normalised(text), 0.0))
    if len(texts) != len(grades) or not any(found.values()):
        raise DataError("no document is relevant", found=repr(value)[:80], expected=EXPECTED)
    return [{"text": text, "relevance": grade} for text, grade in found.items()]


@dataclass(frozen=True)
class Retrieval:
    """Queries, and the documents of all of them, each once.

    Attributes:
        grades: of each query, place among the documents -> relevance.
    """

    queries: Examples
    documents: Examples
    grades: list[dict[int, float]]

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def cut(self) -> Sequence[bool]:
        """Of each query, whether it or a document of it is longer than what is read."""
        long = self.documents.cut
        return [
            bool(own) or any(long[place] for place in each)
            for own, each in zip(self.queries.cut, self.grades, strict=True)
        ]

    def subset(self, chosen: Sequence[int] | Ints) -> Retrieval:
        """The queries at these places, in this order, with their documents alone."""
        grades = [self.grades[i] for i in chosen]
        kept = sorted({place for each in grades for place in each})
        index = {place: number for number, place in enumerate(kept)}
        grades = [{index[place]: grade for place, grade in each.items()} for each in grades]
        return Retrieval(self.queries.subset(chosen), self.documents.subset(kept), grades)

    def batches(self, size: int) -> list[Ints]:
        """Places of queries in batches of similar length."""
        return self.queries.batches(size)

    def drawn(self, draw: Draw) -> Asked:
        """Queries, and for each a relevant document and one that is known not to be, if there is one."""
        chosen: list[int] = []
        numbers = draw.uniform("document", 2)
        for place, shares in zip(draw.ids, numbers, strict=True):
            grades = self.grades[place]
            for share, good in zip(shares, (True, False), strict=True):
                among = [one for one, grade in grades.items() if (grade > 0) == good]
                chosen += [among[int(share * len(among))]] if among else []
        kept = sorted(set(chosen))
        wanted = np.array([[self.grades[i].get(one, 0) > 0 for one in kept] for i in draw.ids])
        return Asked(self.queries.batch(draw.ids), self.documents.batch(kept), torch.from_numpy(wanted))


@dataclass(frozen=True)
class Asked:
    """A batch of queries and documents; `wanted` (n, m): which documents are relevant to which queries."""

    queries: Padded
    documents: Padded
    wanted: Tensor

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def weight(self) -> float:
        """Queries."""
        return float(len(self))

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return self.queries.real + self.documents.real

    @property
    def slots(self) -> int:
        """Tokens that are computed."""
        return self.queries.slots + self.documents.slots


def collected(labels: Sequence[Relevant]) -> tuple[list[str], list[dict[int, float]]]:
    """All documents, each once, and of each query place -> relevance."""
    places: dict[str, int] = {}
    grades = [
        {places.setdefault(one["text"], len(places)): float(one["relevance"]) for one in each}
        for each in labels
    ]
    return list(places), grades


def retrieval(reader: Any, queries: Sequence[str], labels: Sequence[Relevant]) -> Retrieval:
    """Token ids of queries and documents."""
    documents, grades = collected(labels)
    return Retrieval(token_ids(reader, queries), token_ids(reader, documents), grades)


def token_ids(reader: Any, texts: Sequence[str]) -> Examples:
    """Texts without targets."""
    encoded, cut = reader.encode(texts)
    return Examples(encoded["input_ids"], [0] * len(texts), reader.tokenizer.pad_token_id, cut)


def rankings(scores: Array, grades: Sequence[dict[int, float]]) -> dict[str, Array]:
    """Per query nDCG, reciprocal rank and recall within DEPTH, and the rank of the first relevant document.

    nDCG as Jarvelin and Kekalainen (TOIS 2002) have it, with grades as gains, as trec_eval.

    Args:
        scores: (queries, documents); of equal ones the documents that come last count first, which flatters
            nobody: documents are in the order of the queries that want them.
    """
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    table = np.zeros((len(scores), 3))
    first = np.zeros(len(scores), np.int64)
    for row, (score, known) in enumerate(zip(scores, grades, strict=True)):
        gains = np.zeros(len(score))
        gains[list(known)] = list(known.values())
        order = np.lexsort((-np.arange(len(score)), -score))
        ranked, ideal = gains[order], -np.sort(-gains)
        near = ranked[:DEPTH]
        first[row] = 1 + int(np.argmax(ranked > 0))
        best = ideal[:DEPTH] @ discounts[: len(ideal[:DEPTH])]
        reciprocal = 1 / first[row] if first[row] <= DEPTH else 0.0
        recall = (near > 0).sum() / (gains > 0).sum()
        table[row] = near @ discounts[: len(near)] / best, reciprocal, recall
    columns = {name: table[:, place] for place, name in enumerate(("ndcg", "reciprocal", "recall"))}
    return {**columns, "first": first}
