"""Repetition filter: the same lines or runs of words again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.lib.core.settings import setting
from components.lib.modalities.text.words import Document, Fingerprints

TOP = {2: 0.20, 3: 0.18, 4: 0.16}  # run of n words: largest share of the most frequent one
DUPLICATE = {5: 0.15, 10: 0.10}  # run of n words: largest share of characters in repeated runs


@dataclass(frozen=True)
class Config:
    """How much repetition is let through."""

    lines: float = setting(0.3, "share of lines that stood before", minimum=0, maximum=1)
    factor: float = setting(2.0, "multiplies Gopher's limits for runs of words; 0 turns them off", minimum=0)
    words: int = setting(50, "documents with fewer words are not asked about runs", minimum=0)


def reason(document: Document, config: Config) -> str | None:
    """Gopher's rules (Rae et al. 2021, table A1), loosened: mail quotes and lists are not spam.

    Where a script has no spaces, a run has as many characters as so many words have on average.
    """
    lines = document.lines
    again = len(lines) - len(set(lines))
    if len(lines) > 3 and again > config.lines * len(lines):
        return f"{again} of {len(lines)} lines stood before"
    if not config.factor or len(document) < config.words * document.stretch:
        return None
    return _runs(document, config.factor)


def _runs(document: Document, factor: float) -> str | None:
    """Asks for runs of n words, unless what shorter runs have shown rules it out."""
    size, again, width = len(document), len(document), 1  # `again` runs of `width` words stood before
    for words, limit in (TOP | DUPLICATE).items():
        n, allowed = round(words * document.stretch), limit * factor * size
        most = n * (again + 1) if words in TOP else again * n / (n - width + 1)
        if most <= allowed:
            continue
        counts = _counts(document.runs(n))
        top, again, width = int(counts.max(initial=0)), max(size - n + 1, 0) - len(counts), n
        if words in TOP and top > 2 and n * top > allowed:
            return f"one run of {words} words makes {n * top / size:.0%} of the text"
        if words in DUPLICATE and n * again > allowed and _repeated(document, n) * size > allowed:
            return f"repeated runs of {words} words make {_repeated(document, n):.0%} of the text"
    return None


def _counts(runs: Fingerprints) -> npt.NDArray[np.int64]:
    """How often each distinct run stands there."""
    ordered = np.sort(runs)
    return np.diff(np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])))


def _repeated(document: Document, n: int) -> float:
    """The share of words inside runs of n words that stood before."""
    runs = document.runs(n)
    first = np.zeros(len(runs), bool)
    first[np.unique(runs, return_index=True)[1]] = True
    inside = np.zeros(len(document), bool)
    for start in range(n):
        inside[start : start + len(runs)] |= ~first
    return float(inside.mean())
