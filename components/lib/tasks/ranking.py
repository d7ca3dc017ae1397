"""Embedding retrieval: queries find the documents that answer them by the nearness of their vectors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.errors import DataError
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.text.examples import Examples
from components.lib.modalities.text.retrieval import (
    Asked,
    Relevant,
    Retrieval,
    collected,
    rankings,
    relevant,
    retrieval,
    token_ids,
)
from components.lib.models import loading
from components.lib.models.heads import Embedder
from components.lib.models.inference import batches
from components.lib.models.text import static
from components.lib.tasks import Reading

NEEDS = ("text",)
OFFERS = ()
LINEAR = "match"
ROLES = {"query": "query", "documents": "document"}
CORPUS = ("documents",)
METRICS = {
    "ndcg_10": {"better": "higher", "low": 0.0, "high": 1.0, "title": "nDCG@10"},
    "mrr_10": {"better": "higher", "low": 0.0, "high": 1.0, "title": "reciprocal rank (MRR@10)"},
    "recall_10": {"better": "higher", "low": 0.0, "high": 1.0, "title": "recall@10"},
}
PRIMARY = "ndcg_10"
FEWEST = 0
USE = "sentence-similarity"
OUTPUTS = (("vector", "string"),)
TEMPERATURE = 0.05  # of cosines, as sentence-transformers has it

Array = np.ndarray[Any, np.dtype[Any]]


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, str], Relevant]:
    """A query and its documents, checked; raises DataError with the reason.

    Args:
        values: `documents` as `retrieval.relevant` reads them.
    """
    query = values["query"]
    if not isinstance(query, str) or not query.strip():
        raise DataError("the query is not text, or is empty", found=repr(query)[:80])
    return {"query": query}, relevant(values["documents"])


def classes(labels: Iterable[Relevant]) -> list[str]:
    """There are none."""
    return []


def with_unknown(names: list[str], labels: Iterable[Relevant]) -> list[str]:
    """There are none."""
    return []


def encode(
    reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[Relevant], names: list[str]
) -> Retrieval:
    """Token ids of queries, and of all documents that some query names."""
    return retrieval(reader, inputs["query"], labels)


def model(config: Any, names: list[str]) -> nn.Module:
    """The trunk, whose pooled states are the vectors."""
    static.register()
    return Embedder.from_config(config)


def load(folder: Path) -> Embedder:
    """The branch in a folder."""
    static.register()
    branch: Embedder = loading.model(Embedder, folder).eval()
    return branch


class Objective(Supervised):
    """Each query finds its document among those of the batch (InfoNCE: van den Oord et al., 2018)."""

    def prepare(self, samples: Retrieval, draw: Draw) -> Asked:
        """Queries and documents."""
        return samples.drawn(draw)

    def forward(self, batch: Asked) -> Loss:
        """The loss, summed over queries: minus the logarithm of the share of their relevant documents."""
        sides = (self.model(**side.arguments(self.model)) for side in (batch.queries, batch.documents))
        queries, documents = sides
        logits = queries @ documents.T / TEMPERATURE
        good = logits.masked_fill(~batch.wanted, -torch.inf)
        losses = logits.logsumexp(dim=1) - good.logsumexp(dim=1)
        hits = batch.wanted.gather(1, logits.argmax(dim=1, keepdim=True)).sum()
        return Loss(losses.sum(), batch.weight, {"accuracy": hits})


@torch.no_grad()
def vectors(model: nn.Module, texts: Examples, size: int = 64) -> Array:
    """(n, width) of length 1."""
    parts = [
        (places, model(**b.arguments(model)).double().cpu().numpy())
        for places, b in batches(model, texts, size)
    ]
    found = np.zeros((len(texts), parts[0][1].shape[1] if parts else 0))
    for places, values in parts:
        found[places] = values
    return found


def outcomes(model: nn.Module, samples: Retrieval, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per query: nDCG, reciprocal rank and recall within ten documents, rank of the first relevant one."""
    scores = vectors(model, samples.queries, size) @ vectors(model, samples.documents, size).T
    return rankings(np.round(scores, 6), samples.grades)  # beyond it lies the order of summation


def linear_inputs(
    inputs: Mapping[str, Sequence[str]], labels: Sequence[Relevant] | None
) -> dict[str, Sequence[str]]:
    """Queries, and all documents: each query is compared with each document."""
    documents = collected(labels)[0] if labels is not None else inputs["query"]
    return {"query": inputs["query"], "document": documents}


def linear_targets(
    inputs: Mapping[str, Sequence[str]], labels: Sequence[Relevant], names: list[str]
) -> tuple[list[list[str]], list[str], list[dict[int, float]]]:
    """Whether each document is relevant."""
    documents, grades = collected(labels)
    places = range(len(documents))
    targets = [["yes" if each.get(place, 0) > 0 else "no" for place in places] for each in grades]
    return targets, ["no", "yes"], grades


def compared(
    labels: Sequence[dict[int, float]], answers: Sequence[Array], names: list[str]
) -> dict[str, Array]:
    """Outcomes of probabilities, (documents, 2) a query."""
    return rankings(np.stack([chances[:, 1] for chances in answers]), labels)


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Means over queries for each of r weightings (r, n)."""
    weights = weights.astype(np.float64)
    names = {"ndcg_10": "ndcg", "mrr_10": "reciprocal", "recall_10": "recall"}
    return {name: weights @ outcomes[column] / weights.sum(axis=1) for name, column in names.items()}


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The vector of each text, query or document, as a JSON list; their products are cosines."""
    found = vectors(model, token_ids(reader, next(iter(inputs.values())))).tolist()
    return [{"vector": json.dumps([round(one, 6) for one in row])} for row in found]


def shown(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[str]], labels: Sequence[Relevant]
) -> tuple[str, list[str], list[list[Any]]]:
    """Queries with the document that was found first."""
    samples, (documents, _) = encode(reader, inputs, labels, []), collected(labels)
    scores = vectors(model, samples.queries) @ vectors(model, samples.documents).T
    first = outcomes(model, samples, [])["first"].tolist()
    table = [
        [reader.excerpt(query)["text"], reader.excerpt(documents[int(row.argmax())])["text"], rank]
        for query, row, rank in zip(inputs["query"], scores, first, strict=True)
    ]
    note = "Among the documents of these queries alone."
    return note, ["query", "found first", "rank of the first relevant document"], table
