"""Texts for causal language models: whole ones, or prompts with answers; their windows, targets and bytes.

Perplexities of models with different tokenizers compare by the byte. A text is framed by its begin and end;
of a prompt with its answer, the answer and the end alone are targets. What an unknown token stands for is
charged at 8 bits a byte, so that nothing is gained by not knowing it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.lib.engine.randomness import Ints
from components.lib.modalities.text.examples import IGNORED, Examples
from components.lib.modalities.text.long_texts import LONGEST, Windows, starts
from components.lib.modalities.text.text_pairs import PairFrame

if TYPE_CHECKING:
    from components.lib.modalities.text.labelled import Reader

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Continuations(Windows):
    """Texts as windows of tokens, whose targets are the tokens that count, each in one window.

    Attributes:
        bytes: (n,) in UTF-8, of what counts.
        escaped: (n,) nats that its unknown tokens cost besides.
        instructed: whether they are answers to prompts.
        cut: of each example, whether it is longer than what is read of it.
    """

    SHARED = ("rows", "instructed")

    bytes: Ints
    escaped: Floats
    instructed: bool
    cut: list[bool]


def framed(tokenizer: Any) -> PairFrame:
    """The frame of a text: where the tokenizer puts no begin or end around it, its end stands for both."""
    frame, end = PairFrame.of(tokenizer), tokenizer.eos_token_id
    ends = [] if end is None else [end]
    return PairFrame(frame.before or ends, frame.between, frame.behind or ends)


def prompt_ids(reader: Reader, prompt: str, room: int, *, instructed: bool) -> list[int]:
    """A prompt as it stands before what is written: its last tokens, so many, in their frame."""
    frame = framed(reader.tokenizer)
    ids = reader.tokenizer(prompt[-LONGEST:], add_special_tokens=False, verbose=False)["input_ids"]
    room = max(1, room - len(frame.before) - len(frame.between))
    return [*frame.before, *ids[-room:], *(frame.between if instructed else [])]


def continuations(reader: Reader, prompts: Sequence[str], texts: Sequence[str]) -> Continuations:
    """Every window of every example.

    Args:
        prompts: of each text; a prompt that is the text itself is none.
    """
    instructed = any(prompt != text for prompt, text in zip(prompts, texts, strict=True))
    frame, room = framed(reader.tokenizer), max(2, reader.length)
    unknown = reader.tokenizer.unk_token_id
    ids, targets, many, sizes, escaped, cuts = [], [], list[int](), list[int](), list[float](), list[bool]()
    for prompt, text in zip(prompts, texts, strict=True):
        near = text[:LONGEST]
        before = prompt_ids(reader, prompt, room // 2, instructed=True) if instructed else list(frame.before)
        encoded = reader.tokenizer(near, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        row = np.array([*before, *encoded["input_ids"], *frame.behind], np.int64)
        left = np.arange(len(row)) >= max(1, len(before))  # what has not counted yet
        for at in starts(len(row), room).tolist():
            part = slice(at, at + room)
            counts = left[part] & (np.arange(len(row))[part] > at)
            ids.append(row[part].tolist())
            targets.append(np.where(counts, row[part], IGNORED).tolist())
            left[part] &= ~counts
        many.append(len(starts(len(row), room)))
        spans = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        lost = sum(len(near[a:b].encode()) for one, (a, b) in spans if one == unknown)
        sizes.append(max(1, len(near.encode())))
        escaped.append(lost * math.log(256))
        cuts.append(len(text) > LONGEST)
    counts = np.array(many, np.int64)
    rows = Examples(ids, targets, reader.tokenizer.pad_token_id)
    first, cost = np.cumsum(counts) - counts, np.array(escaped)
    return Continuations(rows, first, counts, np.array(sizes, np.int64), cost, instructed, cuts)
