"""Token shards: a tokenizer, ids of whole documents, and the facts that later stages rely on."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import tokenizers

from components.lib.core.errors import DataError, IntegrityError
from components.lib.executors import Executor
from components.lib.modalities.text.settings import WORDS_UNKNOWN, Tokenization
from components.lib.modalities.text.tokenization import given, training
from components.lib.modalities.text.tokenization.corpus_texts import Texts
from components.lib.modalities.text.tokenization.encoding import Encoded, Encoder, Encoding
from components.lib.modalities.text.tokenization.tokenizer import PROBES, FramedTokenizer
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store

SPLITS = ("train", "validation")

Ints = npt.NDArray[np.int64]


def tokenize(
    options: Tokenization,
    executor: Executor,
    store: Store,
    corpus: Manifest,
    file: bytes,
    draft: Draft,
    texts: type[Texts] = Texts,
) -> None:
    """Fills the draft.

    Args:
        texts: what reads the texts of a split; where it says KEPT, those without a token keep their places.

    Raises:
        DataError: if the corpus is empty, the given tokenizer is unfit, or too much is unknown to it.
        IntegrityError: if the corpus does not hold the documents that its manifest tells of.
    """
    start = time.monotonic()
    splits = {name: texts(store, corpus, name) for name in SPLITS}
    if not splits["train"].told:
        what = "the corpus has no document to train on"
        raise DataError(what, where=corpus.uri, fix="add data to the sources")
    if options.kind == "given":
        tokens = given.read(file, options.tokenizer, complete=options.complete)
    else:
        tokens = training.train(options, lambda: splits["train"].training(options.training_bytes))
    trained = time.monotonic()
    tokens.save(draft)
    unknown, threads = tokens.special["unk"], executor.threads
    encoder = Encoder(tokens.tokenizer, unknown, tokens.dtype, threads, options.sentences)
    counts = {name: _encode(encoder, executor, split, options, draft) for name, split in splits.items()}
    draft.facts = _facts(options, tokens, splits["train"], counts)
    draft.measured = {
        "training_seconds": round(trained - start, 3),
        "encoding_seconds": round(time.monotonic() - trained, 3),
        "workers": executor.threads,
        "tokenizers": tokenizers.__version__,
        "tokenizer": options.tokenizer,
    }


def _encode(
    encoder: Encoder, executor: Executor, texts: Texts, options: Tokenization, draft: Draft
) -> dict[str, int]:
    """Writes a split; returns its counts.

    The share of unknown tokens is judged at the end, over all of them.
    """
    marked = bool(options.sentences)
    writer = Writer(draft, texts.split, options.shard_tokens, kept=texts.KEPT, sentences=marked)
    unknown, example = 0, ""
    store = texts.store
    step = partial(Encoding.open, encoder, store.uri, store.cache, texts.corpus, type(texts))
    part: Encoded
    for part in executor.map(step, [(texts.split, file) for file in texts.files]):
        writer.add(part.ids, part.lengths, part.sentences)
        unknown, example = unknown + part.unknown, example or part.example
    writer.close()
    told, found = texts.told, writer.documents + writer.dropped
    if found != told:
        what, where = "the corpus is not what its manifest tells", f"{texts.corpus.uri} ({texts.split})"
        raise IntegrityError(what, where=where, found=f"{found} documents", expected=f"{told} documents")
    if texts.split == "train" and not writer.tokens:
        fix = "add data: what there is are blanks, or characters that the tokenizer drops"
        raise DataError("the training documents have no tokens", where=texts.corpus.uri, fix=fix)
    most = max(options.unknown, WORDS_UNKNOWN) if options.kind == "word" else options.unknown
    if unknown > most * writer.tokens:
        raise _unknown(encoder, texts, unknown / writer.tokens, most, example)
    return {name: getattr(writer, name) for name in ("documents", "tokens", "dropped")} | {"unknown": unknown}


def _unknown(encoder: Encoder, texts: Texts, share: float, most: float, example: str) -> DataError:
    encoding = encoder.tokenizer.encode(example, add_special_tokens=False)
    spans = zip(encoding.ids, encoding.offsets, strict=True)
    words = [example[low:high][:40] for id, (low, high) in spans if id == encoder.unknown]
    what, where = "too much of the text is unknown to the tokenizer", f"{texts.corpus.uri} ({texts.split})"
    found = f"{share:.1%} of the tokens are [UNK], e.g. {', '.join(map(repr, words[:5]))}"
    expected = f"at most {most:.1%} (setting tokenization.unknown)"
    fix = "use kind bpe, a larger vocabulary, or a tokenizer made for these scripts"
    return DataError(what, where=where, found=found, expected=expected, fix=fix)


def _facts(
    options: Tokenization, tokens: FramedTokenizer, trained_on: Texts, counts: dict[str, dict[str, int]]
) -> dict[str, Any]:
    return {
        "kind": options.kind,
        "dtype": tokens.dtype.name,
        "vocab_size": tokens.size,
        "special": tokens.special,
        **({} if tokens.is_usual else {"frame": tokens.frame}),
        "added": tokens.added,
        "probes": [[text, tokens.tokenizer.encode(text, add_special_tokens=False).ids] for text in PROBES],
        "trained_on": {"documents": trained_on.documents, "bytes": trained_on.bytes},
        **{name: {split: c[name] for split, c in counts.items()} for name in next(iter(counts.values()))},
    }


class Writer:
    """The shards of one split: ids, flat and little-endian, and where each document starts.

    A shard is closed by the document that fills it.

    Args:
        kept: whether documents that have no tokens are written, too.
        sentences: whether it is also written where they begin; a document always begins one.

    Attributes:
        documents, tokens: what was written.
        dropped: documents that have no tokens.
    """

    def __init__(
        self, draft: Draft, split: str, most: int, *, kept: bool = False, sentences: bool = False
    ) -> None:
        self._draft, self._split, self._most = draft, split, most
        self._kept, self._marked = kept, sentences
        self._count, self._held = 0, 0
        self._file: BinaryIO | None = None
        self._lengths: list[Ints] = []
        self._sentences: list[Ints] = []
        self.documents, self.tokens, self.dropped = 0, 0, 0

    def add(self, ids: npt.NDArray[np.unsignedinteger[Any]], lengths: Ints, sentences: Ints) -> None:
        """Appends documents: `ids` are those of all, one after the other; `sentences`: which begin one."""
        if not self._kept:
            self.dropped += int((lengths == 0).sum())
            lengths = lengths[lengths > 0]
        self.documents, self.tokens = self.documents + len(lengths), self.tokens + len(ids)
        while len(lengths):
            sums = np.cumsum(lengths)
            fit = int(np.searchsorted(sums, self._most - self._held)) + 1
            fit = min(fit, len(lengths))
            end = int(sums[fit - 1])
            self._append(ids[:end], lengths[:fit], sentences[sentences < end])
            ids, lengths, sentences = ids[end:], lengths[fit:], sentences[sentences >= end] - end

    def close(self) -> None:
        """Publishes the last shard."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))]).astype("<i8")
        np.save(self._path(".offsets.npy"), offsets)
        if self._marked:
            marks = np.unique(np.concatenate([offsets[:-1], *self._sentences]))
            np.save(self._path(".sentences.npy"), marks.astype("<i8"))
        for ending in (".bin", ".offsets.npy", *([".sentences.npy"] if self._marked else ())):
            self._draft.add(self._path(ending).name, len(offsets) - 1)
        self._count, self._held, self._lengths, self._sentences = self._count + 1, 0, [], []

    def _append(self, ids: npt.NDArray[np.unsignedinteger[Any]], lengths: Ints, sentences: Ints) -> None:
        if self._file is None:
            self._file = self._path(".bin").open("wb")
        ids.astype(ids.dtype.newbyteorder("<"), copy=False).tofile(self._file)
        self._lengths.append(lengths)
        self._sentences.append(sentences + self._held)
        self._held += len(ids)
        if self._held >= self._most:
            self.close()

    def _path(self, ending: str) -> Path:
        return self._draft.folder / f"{self._split}-{self._count:05d}{ending}"
