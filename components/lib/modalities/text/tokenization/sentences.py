"""Sentence segmentation: where sentences, or lines, begin in a text."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

LINES = "lines"


def starts(text: str, kind: str) -> list[int]:
    """Places of the characters at which sentences begin, in rising order; what stands before them is none.

    Args:
        kind: "lines": lines that are not blank; or an ISO 639 code, whose rules and abbreviations `sentencex`
            has for some 300 languages; for others it takes those of a related one.
    """
    if kind == LINES:
        lines = text.split("\n")
        begins = itertools.accumulate((len(line) + 1 for line in lines), initial=0)
        return [begin for begin, line in zip(begins, lines, strict=False) if line.strip()]
    import sentencex

    found: list[dict[str, Any]] = sentencex.get_sentence_boundaries(kind, text)
    return [one["start_index"] for one in found if one["text"].strip()]


def tokens(places: list[int], offsets: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    """The first token of each sentence: that which holds its first character, or the next one.

    Args:
        places: of the first characters.
        offsets: of the tokens, (first character, behind the last).
    """
    ends = np.fromiter((end for _, end in offsets), np.int64, len(offsets))
    return np.searchsorted(ends, np.asarray(places, np.int64), side="right")
