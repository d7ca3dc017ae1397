"""Which words of a text made a branch answer as it did, by integrated gradients on their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from components.lib.models.attribution import Attribution, integrated

ROLE = "text"  # what a task reads that is explained


def baseline(model: Any, reader: Any, texts: Sequence[str]) -> Tensor:
    """(width,): the mean vector of the tokens of some texts, the word that says nothing.

    A vector of zeros is no such word: networks that scale a text to length 1 cannot tell how long it was.
    """
    ids = [token for tokens in reader.encode(list(texts))[0]["input_ids"] for token in tokens]
    table = model.base_model.get_input_embeddings()
    with torch.no_grad():
        mean: Tensor = table(torch.tensor(ids, device=table.weight.device)).float().mean(dim=0)
    return mean


def explained(
    model: Any, reader: Any, inputs: Mapping[str, Any], target: int, empty: Tensor
) -> tuple[Attribution, dict[str, Any]]:
    """Attribution of one text's tokens, and {"pieces": [[text, score], ...]}, which is the text again.

    Args:
        inputs: role -> value of an example.
        target: the class whose logit is explained.
        empty: the baseline.
    """
    text = inputs[ROLE]
    encoded = reader.encode([text], return_offsets_mapping=True)[0]
    ids = torch.tensor(encoded["input_ids"], device=empty.device)
    table = model.base_model.get_input_embeddings()
    with torch.no_grad():
        vectors = table(ids)

    def logits(given: Tensor) -> Tensor:
        rows = {"attention_mask": torch.ones(given.shape[:2], dtype=torch.long, device=given.device)}
        if getattr(model.base_model, "READS_BOTH", False):
            rows["input_ids"] = ids.repeat(len(given), 1)
        found: Tensor = model(inputs_embeds=given, **rows).logits
        return found

    special = torch.tensor([start == end for start, end in encoded["offset_mapping"][0]], device=empty.device)
    start = torch.where(special[:, None], vectors[0], empty.to(vectors.dtype))[None]
    found = integrated(logits, vectors, start, target)
    return found, {"pieces": _pieces(text, encoded, found.scores.sum(axis=1).tolist())}


def _pieces(text: str, encoded: Any, scores: list[float]) -> list[list[Any]]:
    """The text in words, each with the sum of its tokens' scores; what stands between them has none."""
    words: dict[int, list[Any]] = {}
    for word, (start, end), score in zip(
        encoded.word_ids(0), encoded["offset_mapping"][0], scores, strict=True
    ):
        if word is None or start == end:
            continue
        one = words.setdefault(word, [start, end, 0.0])
        one[0], one[1], one[2] = min(one[0], start), max(one[1], end), one[2] + score
    pieces, at = list[list[Any]](), 0
    for start, end, score in sorted(words.values()):
        if start > at:
            pieces.append([text[at:start], 0.0])
        if end > max(start, at):
            pieces.append([text[max(start, at) : end], round(score, 6)])
        at = max(at, end)
    return pieces
