"""Text to clean text with everything that later steps ask of it. Runs in worker processes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.ingestion import filters
from components.ingestion.contamination import Index
from components.ingestion.words import Vocabulary, Words

# Controls but tab and newline, the byte order mark, non-characters and lone surrogates (from JSON escapes).
REMOVED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x84\\x86-\\x9f\\ufeff\\ufffe\\uffff\\ud800-\\udfff]")
NEWLINES = re.compile("\\r\\n?|[\\x85\\u2028\\u2029]")
SHINGLE = 5  # words; Lee et al. 2022 and datatrove use 5 as well
PERMUTATIONS = 128
SEED = 42


@dataclass(frozen=True)
class Job:
    """What a worker needs to know, once.

    Attributes:
        filters: rule -> its complete options.
        evaluations: local folders of evaluation indexes.
        signatures: whether MinHash signatures are wanted.
    """

    filters: Mapping[str, Mapping[str, Any]]
    evaluations: Sequence[Path]
    ngram: int
    overlap: float
    signatures: bool


@dataclass
class Cleaned:
    """One entry a document in each list, in the order of the texts given.

    Attributes:
        reasons: '' if the document is kept, else 'rule: what was found'.
        shared: 0, or 1 if it overlaps with an evaluation document, or 2 if it equals one.
        signatures: (documents, PERMUTATIONS) of 16 bits, or None.
        altered: how many documents held characters that were removed.
    """

    texts: list[str] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    words: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    shared: npt.NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    signatures: npt.NDArray[np.uint16] | None = None
    altered: int = 0


class Cleaner:
    """Cleans batches of texts; keeps the words it has seen."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rules = filters.load(job.filters)
        self._indexes = [Index.open(folder) for folder in job.evaluations]
        self._vocabulary = Vocabulary()

    def __call__(self, texts: Sequence[str]) -> Cleaned:
        clean = Cleaned()
        for text in texts:
            normal = normalised(text)
            clean.altered += REMOVED.search(text) is not None
            clean.texts.append(normal)
            clean.ids.append(identity(normal))
        words = self._vocabulary.batch(clean.texts)
        clean.words = np.diff(words.offsets).astype(np.int32)
        clean.reasons = [self._reason(words, index, text) for index, text in enumerate(clean.texts)]
        clean.shared = self._shared(words, clean.ids)
        if self._job.signatures:
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
            flat, offsets = words.runs(self._job.ngram)
            shared = np.maximum(shared, index.overlaps(flat, offsets, self._job.overlap))
            equal = np.fromiter((entry in index.ids for entry in ids), bool, len(ids))
            shared[equal] = 2
        return shared


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


_cleaner: Cleaner | None = None  # one a worker process


def start(job: Job) -> None:
    """Makes this process a worker."""
    global _cleaner
    _cleaner = Cleaner(job)


def clean(texts: Sequence[str]) -> Cleaned:
    """Cleans a batch in a worker."""
    assert _cleaner is not None
    return _cleaner(texts)
