"""The same lines or runs of words again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.ingestion.words import Document
from components.lib.config import setting

TOP = {2: 0.20, 3: 0.18, 4: 0.16}  # run of n words: largest share of the most frequent one
DUPLICATE = {5: 0.15, 10: 0.10}  # run of n words: largest share of characters in repeated runs


@dataclass(frozen=True)
class Config:
    """How much repetition is let through."""

    lines: float = setting(0.3, "share of lines that stood before", minimum=0, maximum=1)
    factor: float = setting(2.0, "multiplies Gopher's limits for runs of words; 0 turns them off", minimum=0)
    words: int = setting(50, "documents with fewer words are not asked about runs", minimum=0)


def reason(document: Document, config: Config) -> str | None:
    """Gopher's rules (Rae et al. 2021, table A1), loosened: mail quotes and lists are no spam."""
    lines = document.lines
    again = len(lines) - len(set(lines))
    if len(lines) > 3 and again > config.lines * len(lines):
        return f"{again} of {len(lines)} lines stood before"
    if not config.factor or len(document) < config.words:
        return None
    for n, limit in TOP.items():
        _, counts = np.unique(document.runs(n), return_counts=True)
        share = n * int(counts.max()) / len(document)
        if counts.max() > 2 and share > limit * config.factor:
            return f"one run of {n} words makes {share:.0%} of the text"
    for n, limit in DUPLICATE.items():
        share = _repeated(document, n)
        if share > limit * config.factor:
            return f"repeated runs of {n} words make {share:.0%} of the text"
    return None


def _repeated(document: Document, n: int) -> float:
    """The share of words inside runs of n words that stood before."""
    runs = document.runs(n)
    first = np.zeros(len(runs), bool)
    first[np.unique(runs, return_index=True)[1]] = True
    if first.all():
        return 0.0
    again = np.zeros(len(document) + 1, np.int64)
    np.add.at(again, np.flatnonzero(~first), 1)
    np.add.at(again, np.flatnonzero(~first) + n, -1)
    return float((np.cumsum(again)[:-1] > 0).mean())
