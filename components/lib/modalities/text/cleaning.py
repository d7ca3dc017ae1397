"""Text to clean text with everything that later steps ask of it. Runs in worker processes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.lib.modalities import Cleaned, Payload
from components.lib.modalities.text import filters
from components.lib.modalities.text.contamination import Index, save
from components.lib.modalities.text.settings import Ingestion
from components.lib.modalities.text.words import Vocabulary, Words

# Controls but tab and newline, the byte order mark, non-characters and lone surrogates (from JSON escapes).
REMOVED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x84\\x86-\\x9f\\ufeff\\ufffe\\uffff\\ud800-\\udfff]")
NEWLINES = re.compile("\\r\\n?|[\\x85\\u2028\\u2029]")
SHINGLE = 5  # words; Lee et al. 2022 and datatrove use 5 as well
PERMUTATIONS = 128
SEED = 42
BATCH = 1 << 20  # characters of an evaluation set that are indexed at a time


class Cleaner:
    """Cleans batches of texts; keeps the words it has seen."""

    def __init__(self, options: Ingestion, evaluations: Sequence[Path]) -> None:
        self._options = options
        self._rules = filters.load(filters.check(options.filters))
        self._indexes = [Index.open(folder) for folder in evaluations]
        self._vocabulary = Vocabulary()

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        clean = Cleaned()
        texts = [normalised(text) for (text,) in payloads]
        clean.altered = sum(REMOVED.search(text) is not None for (text,) in payloads)
        clean.payloads = [(text,) for text in texts]
        clean.ids = [identity(text) for text in texts]
        words = self._vocabulary.batch(texts)
        counts = np.diff(words.offsets).astype(np.int32)
        clean.measures = {"words": counts, "characters": np.array([len(text) for text in texts], np.int32)}
        clean.reasons = [self._reason(words, index, text) for index, text in enumerate(texts)]
        clean.shared = self._shared(words, clean.ids)
        if self._options.near_duplicates > 0:
            clean.signatures = signatures(words)
        return clean

    def _reason(self, words: Words, index: int, text: str) -> str:
        document = words.document(index, text)
        for name, rule in self._rules.items():
            reason = rule(document)
            if reason:
                return f"{name}: {reason}"
        return ""

    def _shared(self, words: Words, ids: list[bytes]) -> npt.NDArray[np.int8]:
        shared = np.zeros(len(ids), np.int8)
        for index in self._indexes:
            flat, offsets = words.runs(self._options.ngram)
            shared = np.maximum(shared, index.overlaps(flat, offsets, self._options.overlap))
            equal = np.fromiter((entry in index.ids for entry in ids), bool, len(ids))
            shared[equal] = 2
        return shared


class Collector:
    """Makes the index of an evaluation set, a bounded number of characters at a time."""

    def __init__(self, ngram: int) -> None:
        self._ngram, self._vocabulary = ngram, Vocabulary()
        self._ids: list[bytes] = []
        self._words: list[Words] = []
        self._batch: list[str] = []
        self._size = 0

    def add(self, payload: Payload) -> None:
        """Takes one text."""
        text = normalised(payload[0])
        self._ids.append(identity(text))
        self._batch.append(text)
        self._size += len(text)
        if self._size > BATCH:
            self._flush()

    def save(self, folder: Path) -> int:
        """Writes the index; returns how many texts it has."""
        self._flush()
        save(folder, self._ids, self._words, self._ngram)
        return len(self._ids)

    def _flush(self) -> None:
        self._words.append(self._vocabulary.batch(self._batch))
        self._batch, self._size = [], 0


def normalised(text: str) -> str:
    r"""NFC, '\n' line ends, no control characters, no blanks at either end."""
    if "\r" in text or not text.isascii():
        text = NEWLINES.sub("\n", text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    return REMOVED.sub("", text).strip()


def identity(text: str) -> bytes:
    """128 bits of a normalised text; runs of white space count as one blank."""
    if "\n" in text or "  " in text or "\t" in text:
        text = " ".join(text.split())
    return blake2b(text.encode(), digest_size=16).digest()


def signatures(words: Words) -> npt.NDArray[np.uint16]:
    """MinHash (Broder 1997) of each document's shingles, cut to 16 bits (Li and Koenig 2010).

    A document shorter than a shingle is one shingle of all its words.
    """
    from rensa import RMinHash

    flat, offsets = words.runs(SHINGLE)
    short = np.flatnonzero(np.diff(offsets) == 0)
    ends, sums = words.offsets[short + 1], np.concatenate([[np.uint64(0)], np.cumsum(words.fingerprints)])
    whole = sums[ends] - sums[words.offsets[short]]
    flat = np.insert(flat, offsets[short], whole)
    offsets = offsets + np.searchsorted(short, np.arange(len(offsets)))
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        flat, offsets.astype(np.uint64), num_perm=PERMUTATIONS, seed=SEED
    )
    return np.array(matrix.to_rows(), np.uint32).reshape(-1, PERMUTATIONS).astype(np.uint16)
