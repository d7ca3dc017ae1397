"""Words of documents as flat arrays: every filter, shingle and n-gram reads the same fingerprints.

Each distinct word is looked at once a process: `Vocabulary` keeps its fingerprint, its length and whether
it has a letter. A batch of documents is then one flat array of word numbers, and rules are numpy on slices.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

# Scripts written without spaces between words: there each character counts as a word.
CONTINUOUS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
ANY_CONTINUOUS = re.compile(f"[{CONTINUOUS}]")
WORD = re.compile(f"[{CONTINUOUS}]|[^\\s{CONTINUOUS}]+")
EDGES = "".join(map(chr, [*range(0x21, 0x30), *range(0x3A, 0x41), *range(0x5B, 0x61), *range(0x7B, 0x7F)]))
EDGES += "\u00ab\u00bb\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u3001\u3002\u060c\u061f\u0964"
LARGEST = 1_000_000  # distinct words kept in memory, about 150 MB a process
KNOWN = np.dtype([("fingerprint", np.uint64), ("length", np.int32), ("share", np.float32), ("letter", bool)])
# Characters of these scripts that say as much as a word, for limits that were set for words.
KANA, HAN, SIGNS = 3.0, 2.0, 4.5
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

Fingerprints = npt.NDArray[np.uint64]


def split(text: str) -> list[str]:
    """WordBatch by white space; characters where the script has no spaces (Chinese, Japanese, Thai, ...)."""
    if text.isascii() or not ANY_CONTINUOUS.search(text):
        return text.split()
    return WORD.findall(text)


class Vocabulary(dict[str, int]):
    """Word -> its number, with what is known of each distinct word."""

    def __init__(self) -> None:
        super().__init__()
        self._new: list[tuple[int, int, float, bool]] = []  # of words met since the arrays were last extended
        self._known = np.empty(0, KNOWN)

    def __missing__(self, word: str) -> int:
        plain = word.casefold().strip(EDGES) or word
        digest = blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        letter = word.isalpha() or any(map(_is_letter, word))
        self._new.append((int.from_bytes(digest, "little"), len(word), _share(word), letter))
        number = self[word] = len(self)
        return number

    def batch(self, texts: Sequence[str]) -> WordBatch:
        """The words of many documents."""
        if len(self) > LARGEST:
            self.clear()
            self._known = np.empty(0, KNOWN)
        ids: list[int] = []
        offsets = [0]
        for text in texts:
            ids.extend(map(self.__getitem__, split(text)))
            offsets.append(len(ids))
        self._known = np.concatenate([self._known, np.array(self._new, KNOWN)])
        self._new = []
        found = self._known[np.array(ids, np.int64)]
        columns: Any = [np.ascontiguousarray(found[name]) for name in KNOWN.names or ()]
        return WordBatch(np.array(offsets, np.int64), *columns)


@dataclass(frozen=True)
class WordBatch:
    """The words of a batch: flat arrays; document i is offsets[i]:offsets[i + 1].

    Attributes:
        fingerprints: of the case-folded word without punctuation at its edges; equal in every process.
        lengths: characters of a word.
        shares: 1, or less for a character of a script without spaces, which is but a part of a word.
        letters: whether a word has a letter.
    """

    offsets: npt.NDArray[np.int64]
    fingerprints: Fingerprints
    lengths: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float32]
    letters: npt.NDArray[np.bool_]
    cache: dict[int, Fingerprints] = field(default_factory=dict)

    def document(self, index: int, text: str) -> Document:
        """One document's view."""
        return Document(text, self, int(self.offsets[index]), int(self.offsets[index + 1]))

    def every(self, n: int) -> Fingerprints:
        """Fingerprint of the n words that begin at each position, whatever document they are in."""
        if n not in self.cache:
            self.cache[n] = ngrams(self.fingerprints, n)
        return self.cache[n]

    def runs(self, n: int) -> tuple[Fingerprints, npt.NDArray[np.int64]]:
        """Fingerprints of all runs of n words inside a document, flat, and offsets by document."""
        counts = np.maximum(np.diff(self.offsets) - n + 1, 0)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        starts = np.repeat(self.offsets[:-1] - offsets[:-1], counts) + np.arange(offsets[-1])
        return self.every(n)[starts], offsets


@dataclass(frozen=True)
class Document:
    """What a filter sees: the text, and its words in arrays that are shared by all filters."""

    text: str
    batch: WordBatch
    start: int
    stop: int

    def __len__(self) -> int:
        """Number of words."""
        return self.stop - self.start

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Characters of each word."""
        return self.batch.lengths[self.start : self.stop]

    @property
    def letters(self) -> npt.NDArray[np.bool_]:
        """Whether each word has a letter."""
        return self.batch.letters[self.start : self.stop]

    @cached_property
    def stretch(self) -> float:
        """How many of its 'words' make one word: 1, or more where characters stand for them."""
        return max(1.0, len(self) / max(1.0, float(self.batch.shares[self.start : self.stop].sum())))

    @cached_property
    def lines(self) -> list[str]:
        """Lines that are not blank, without white space at their ends."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    def runs(self, n: int) -> Fingerprints:
        """Fingerprints of its runs of n words."""
        return self.batch.every(n)[self.start : max(self.start, self.stop - n + 1)]


def _is_letter(character: str) -> bool:
    """Indic and Thai vowel signs are letters too."""
    return character.isalpha() or unicodedata.category(character).startswith("M")


def _share(word: str) -> float:
    if len(word) > 1 or not ANY_CONTINUOUS.match(word):
        return 1.0
    kana = "\u3040" <= word <= "\u30ff" or "\u31f0" <= word <= "\u31ff"
    return 1 / (KANA if kana else HAN if word >= "\u2e80" else SIGNS)


def document(text: str) -> Document:
    """One document on its own."""
    return Vocabulary().batch([text]).document(0, text)


def ngrams(fingerprints: Fingerprints, n: int) -> Fingerprints:
    """Fingerprints of the runs of n words: a polynomial modulo 2**64, then mixed."""
    count = max(len(fingerprints) - n + 1, 0)
    total, size = fingerprints, 1  # polynomials of runs of `size` words
    for bit in f"{n:b}"[1:]:  # double, and add one word where the bit is set
        total = total[:-size] * MULTIPLIER**size + total[size:]
        size *= 2
        if bit == "1":
            total = total[:-1] * MULTIPLIER + fingerprints[size:]
            size += 1
    total = total[:count]
    total = (total ^ (total >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return total ^ (total >> np.uint64(32))
