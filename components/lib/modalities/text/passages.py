"""Contexts longer than a row as overlapping windows with their question, and the best span over all of them.

Devlin et al., "BERT", NAACL 2019: a question is read with each window of its passage; the first token of a
row stands for "no answer". Of all windows the span counts that is most above "no answer" in its own window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from components.lib.engine.randomness import Draw
from components.lib.modalities.text.answers import Answer
from components.lib.modalities.text.examples import Examples, Padded
from components.lib.modalities.text.long_texts import LONGEST, Windows, starts
from components.lib.modalities.text.text_pairs import PairFrame

if TYPE_CHECKING:
    from components.lib.modalities.text.labelled import Reader

QUESTION = 0.5  # of a row, at most
ANSWER = 30  # tokens of an answer, at most (BERT's)

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Passages(Windows):
    """Questions with the windows of their contexts.

    A target is the first and the last token of the answer: 0, 0 for none.

    Attributes:
        offsets: of each window (tokens, 2) begin and end in the context of its tokens of the context.
        inside: of each window the place of the first of them.
        contexts, answers: of each example.
        cut: of each example, whether its question, or its context, is longer than what is read of it.
    """

    SHARED = ("rows", "offsets", "inside")

    offsets: list[Array]
    inside: list[int]
    contexts: list[str]
    answers: list[list[Answer]]
    cut: list[bool]

    def drawn(self, draw: Draw) -> Padded:
        """One window an example: every second time any of them, else one that has the answer, if one has."""
        chosen = []
        for place, (which, where) in zip(draw.ids, draw.uniform("window", 2), strict=True):
            windows = range(self.first[place], self.first[place] + self.many[place])
            having = [one for one in windows if self.rows.targets[one][1]]
            among = having if having and which < 0.5 else windows
            chosen.append(int(among[int(where * len(among))]))
        return self.rows.batch(chosen)


def windowed(
    reader: Reader, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[Sequence[Answer]]
) -> Passages:
    """Every window of every example."""
    frame = PairFrame.of(reader.tokenizer)
    asked, long = reader.encode(questions, add_special_tokens=False)
    most = int((reader.length - len(frame)) * QUESTION)
    ids, types, targets, offsets, inside, many = [], [], [], [], list[int](), list[int]()
    cut = []
    for place, (context, known) in enumerate(zip(contexts, answers, strict=True)):
        question = asked["input_ids"][place][:most]
        cut.append(len(context) > LONGEST or long[place] or len(asked["input_ids"][place]) > most)
        tokens = reader.tokenizer(
            context[:LONGEST], add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        spans = np.array(tokens["offset_mapping"], np.int64).reshape(-1, 2)
        room = reader.length - len(frame) - len(question)
        begins = starts(len(spans), room)
        at = _tokens(spans, known[0]) if known else None
        for start in begins.tolist():
            row, kinds = frame.row(question, tokens["input_ids"][start : start + room])
            shift = len(row) - len(frame.behind) - len(tokens["input_ids"][start : start + room])
            held = at is not None and start <= at[0] <= at[1] < start + room
            targets.append([at[0] - start + shift, at[1] - start + shift] if held and at else [0, 0])
            ids.append(row)
            types.append(kinds)
            offsets.append(spans[start : start + room])
            inside.append(shift)
        many.append(len(begins))
    counts = np.array(many, np.int64)
    rows = Examples(ids, targets, reader.tokenizer.pad_token_id, types=types)
    first, wanted = np.cumsum(counts) - counts, [list(one) for one in answers]
    return Passages(rows, first, counts, offsets, inside, list(contexts), wanted, cut)


def _tokens(spans: Array, answer: Answer) -> tuple[int, int] | None:
    """First and last token of an answer; None if it has none."""
    end = answer["start"] + len(answer["text"])
    touched = np.flatnonzero((spans[:, 1] > answer["start"]) & (spans[:, 0] < end))
    return (int(touched[0]), int(touched[-1])) if len(touched) else None


def best_spans(starts: Tensor, ends: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Best span of each window, of at most ANSWER tokens, and by how much it is above "no answer".

    Args:
        starts, ends: (n, L) logits.
        first, last: (n,) places of the context's first token, and behind its last.

    Returns:
        (n,) margins (-inf where the context has no token), first and last tokens.
    """
    places = torch.arange(starts.shape[1], device=starts.device)
    outside = (places < first[:, None]) | (places >= last[:, None])
    null = starts[:, 0] + ends[:, 0]
    starts, ends = (logits.masked_fill(outside, -torch.inf) for logits in (starts, ends))
    best = torch.full_like(null, -torch.inf)
    begin, end = torch.zeros_like(first), torch.zeros_like(first)
    for more in range(min(ANSWER, starts.shape[1])):
        value, place = (starts[:, : starts.shape[1] - more] + ends[:, more:]).max(dim=1)
        better = value > best
        best = torch.where(better, value, best)
        begin, end = torch.where(better, place, begin), torch.where(better, place + more, end)
    return best - null, begin, end
