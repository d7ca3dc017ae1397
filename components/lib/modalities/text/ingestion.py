"""Ingestion of texts: Unicode normalization, quality filters, MinHash, n-gram decontamination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.lib.data import deduplication
from components.lib.data.formats import Record, Rejected, column, rejected
from components.lib.data.near_duplicates import Likeness
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Words
from components.lib.modalities.text import filters
from components.lib.modalities.text.contamination import Index, save
from components.lib.modalities.text.normalization import REMOVED, normalised
from components.lib.modalities.text.settings import Ingestion
from components.lib.modalities.text.words import Vocabulary, WordBatch

COLUMNS = Columns(
    payload={"text": "string"},
    measures=("words", "characters"),
    totals=("words", "characters"),
    lengths=("words", "characters"),
    signature=128,
)
NATIVE = False
WORDS = Words(
    unit="document",
    identity="its text",
    found="stand in the sources word for word",
    altered="Control characters were removed from",
    spread="Lengths of the documents",
    lengths={name: (f"Length in {name}", f"{name} of a document") for name in COLUMNS.lengths},
)
DROPPED = 80  # characters that are kept of a dropped document
SAMPLE = 600  # characters of a document on the data card
SHINGLE = 5  # words; Lee et al. 2022 and datatrove use 5 as well
PERMUTATIONS = 128
SEED = 42
BATCH = 1 << 20  # characters of an evaluation set that are indexed at a time


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """Raises ConfigErrors for an unknown rule or option."""
    rules = filters.check(options.filters)
    return {
        "filters": [[name, options] for name, options in rules.items()],
        "runs": [options.ngram, options.overlap] if evaluations else [],
    }


def indexed(options: Ingestion, fields: Mapping[str, str]) -> dict[str, Any]:
    """The length of the runs."""
    return {"ngram": options.ngram, "text": fields["text"]}


def shown(options: Ingestion) -> dict[str, Any]:
    """What the card explains."""
    return {"ngram": options.ngram, "overlap": options.overlap}


def setting_of(rule: str) -> str:
    """The setting of a quality rule."""
    return f"ingestion.filters.{rule}"


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The text of a record; a list of tokens is joined by blanks."""
    value = column(record, fields["text"], ("text",))
    if isinstance(value, Rejected):
        return value
    if isinstance(value, list) and all(isinstance(token, str) for token in value):
        value = " ".join(value)
    if not isinstance(value, str):
        return rejected(record.where, f"'{fields['text']}' is not text but {type(value).__name__}", value)
    if value.count("\0") * 10 > len(value):
        return rejected(record.where, "binary data: more than 10 % of it are NUL characters", value)
    return (value,)


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Keeps the words that it has seen."""
    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Runs of words of an evaluation set."""
    return Collector(options.ngram)


def likeness(threshold: float) -> Likeness:
    """By the similarity that MinHash estimates."""
    return deduplication.likeness(PERMUTATIONS, threshold)


def excerpt(payload: Payload) -> Payload:
    """Its beginning."""
    return (payload[0][:DROPPED],)


def excerpts(table: pa.Table) -> pa.Array:
    """The beginnings."""
    return pa.compute.utf8_slice_codeunits(table["text"], 0, DROPPED)


def sample(row: Mapping[str, Any], settled: Mapping[str, Any]) -> str:
    """Its beginning."""
    text: str = row["text"]
    return text[:SAMPLE]


def contaminated(settings: Mapping[str, Any]) -> str:
    """When two texts count as the same."""
    return (
        "A document is left out if it equals an evaluation document, or if the two share "
        f"{settings['overlap']:.0%} of the runs of {settings['ngram']} words of either."
    )


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Some texts."""
    texts = [(sample["source"], sample["text"]) for sample in samples]
    return {"note": "Chosen by hash, cut at 600 characters.", "texts": texts}


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
        clean.ids = [text_id(text) for text in texts]
        words = self._vocabulary.batch(texts)
        counts = np.diff(words.offsets).astype(np.int32)
        clean.measures = {"words": counts, "characters": np.array([len(text) for text in texts], np.int32)}
        clean.reasons = [self._reason(words, index, text) for index, text in enumerate(texts)]
        clean.shared = self._shared(words, clean.ids)
        if self._options.near_duplicates > 0:
            clean.signatures = signatures(words)
        return clean

    def _reason(self, words: WordBatch, index: int, text: str) -> str:
        document = words.document(index, text)
        for name, rule in self._rules.items():
            reason = rule(document)
            if reason:
                return f"{name}: {reason}"
        return ""

    def _shared(self, words: WordBatch, ids: list[bytes]) -> npt.NDArray[np.int8]:
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
        self._words: list[WordBatch] = []
        self._batch: list[str] = []
        self._size = 0

    def add(self, payload: Payload) -> None:
        """Takes one text."""
        text = normalised(payload[0])
        self._ids.append(text_id(text))
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


def text_id(text: str) -> bytes:
    """128 bits of a normalised text; runs of white space count as one blank."""
    if "\n" in text or "  " in text or "\t" in text:
        text = " ".join(text.split())
    return blake2b(text.encode(), digest_size=16).digest()


def signatures(words: WordBatch) -> npt.NDArray[np.uint16]:
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
