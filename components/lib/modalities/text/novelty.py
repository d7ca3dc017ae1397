"""Repetition within written texts, and the longest runs of words that they copy from a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from components.lib.modalities.text.words import Vocabulary

RUN = 4  # words of a run that counts as repeated
CHARACTERS = 20_000_000  # of the corpus, from its beginning, that are searched


def repetition(text: str) -> float:
    """Share of its runs of RUN words that stand in it before; of a shorter text 0."""
    words = text.split()
    runs = [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def longest_copies(texts: Sequence[str], corpus: Iterable[Sequence[str]]) -> list[int]:
    """Words of the longest run of each text that stands in a document of the corpus.

    Words are compared as decontamination does: without case and punctuation at their edges.

    Args:
        corpus: batches of documents.
    """
    vocabulary, left = Vocabulary(), CHARACTERS
    mine = [vocabulary.batch([text]) for text in texts]
    found = [0] * len(texts)
    for batch in corpus:
        documents = vocabulary.batch(batch)
        for place, words in enumerate(mine):
            length = found[place] + 1
            while (
                length <= len(words.lengths)
                and np.isin(words.runs(length)[0], documents.runs(length)[0]).any()
            ):
                found[place] = length
                length += 1
        left -= sum(map(len, batch))
        if left < 0:
            break
    return found
