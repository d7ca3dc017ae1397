"""The characters of a corpus, and which of them are frequent enough for a vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers.normalizers import Normalizer


class Alphabet:
    """Characters by frequency.

    Args:
        normalizer: what a tokenizer does to a text first, or None.
        least: occurrences below which a character is rare.

    Attributes:
        frequent: normalised characters, the most frequent first; white space is not among them.
    """

    def __init__(self, batches: Iterable[list[str]], normalizer: Normalizer | None, least: int) -> None:
        self._forms: dict[int, str] = {}
        counts: dict[str, int] = {}
        for code, count in _counted(batches):
            form = normalizer.normalize_str(chr(code)) if normalizer else chr(code)
            self._forms[code] = form
            for letter in form:
                counts[letter] = counts.get(letter, 0) + count
        ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        self.frequent = [letter for letter, count in ordered if count >= least and not letter.isspace()]

    def without(self, most: int) -> dict[int, str]:
        """A table for `str.translate` that blanks what is not among the `most` frequent characters."""
        kept = set(self.frequent[:most])
        rare = (
            code for code, form in self._forms.items() if any(not c.isspace() and c not in kept for c in form)
        )
        return dict.fromkeys(rare, " ")


def _counted(batches: Iterable[list[str]]) -> Iterator[tuple[int, int]]:
    counts = np.zeros(0x110000, np.int64)
    for batch in batches:
        found = np.bincount(np.frombuffer("".join(batch).encode("utf-32-le"), "<u4"))
        counts[: len(found)] += found
    seen = np.flatnonzero(counts)
    yield from zip(seen.tolist(), counts[seen].tolist(), strict=True)
