"""Corpus to tokens: a tokenizer, then shards, then the facts that later stages rely on."""

from __future__ import annotations

import time
from typing import Any

import tokenizers

from components.lib.core.errors import DataError, IntegrityError
from components.lib.modalities.text.settings import Tokenization
from components.lib.modalities.text.tokenization import given, training
from components.lib.modalities.text.tokenization.encoding import Encoder
from components.lib.modalities.text.tokenization.folder import Tokens
from components.lib.modalities.text.tokenization.probes import PROBES
from components.lib.modalities.text.tokenization.shards import Writer
from components.lib.modalities.text.tokenization.texts import Texts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store

SPLITS = ("train", "validation")


def tokenize(
    options: Tokenization, workers: int, store: Store, corpus: Manifest, file: bytes, draft: Draft
) -> None:
    """Fills the draft.

    Raises:
        DataError: if the corpus is empty, the given tokenizer is unfit, or too much is unknown to it.
        IntegrityError: if the corpus does not hold the documents that its manifest tells of.
    """
    start = time.monotonic()
    splits = {name: Texts(store, corpus, name) for name in SPLITS}
    if not corpus.facts["documents"].get("train"):
        raise DataError(
            "the corpus has no document to train on", where=corpus.uri, fix="add data to the sources"
        )
    tokens = _tokenizer(options, splits["train"], file)
    trained = time.monotonic()
    tokens.save(draft)
    encoder = Encoder(tokens.tokenizer, tokens.special["unk"], tokens.dtype, workers)
    counts = {name: _encode(encoder, texts, options, draft) for name, texts in splits.items()}
    encoded = time.monotonic()
    draft.facts = _facts(options, tokens, splits["train"], counts)
    draft.measured = {
        "training_seconds": round(trained - start, 3),
        "encoding_seconds": round(encoded - trained, 3),
        "workers": workers,
        "tokenizers": tokenizers.__version__,
        "tokenizer": options.tokenizer,
    }


def _tokenizer(options: Tokenization, texts: Texts, file: bytes) -> Tokens:
    if options.kind == "given":
        return given.read(file, options.tokenizer)
    return Tokens.trained(training.train(options, lambda: texts.training(options.training_bytes)))


def _encode(encoder: Encoder, texts: Texts, options: Tokenization, draft: Draft) -> dict[str, int]:
    """Writes a split; returns its counts.

    The share of unknown tokens is judged at the end, over all of them.
    """
    writer = Writer(draft, texts.split, options.shard_tokens)
    unknown, example = 0, ""
    for part in encoder.encode(texts.batches()):
        writer.add(part.ids, part.lengths)
        unknown, example = unknown + part.unknown, example or part.example
    writer.close()
    expected, found = texts.corpus.facts["documents"].get(texts.split, 0), writer.documents + writer.dropped
    if found != expected:
        raise IntegrityError(
            "the corpus is not what its manifest tells",
            where=f"{texts.corpus.uri} ({texts.split})",
            found=f"{found} documents",
            expected=f"{expected} documents",
        )
    if texts.split == "train" and not writer.tokens:
        fix = "add data: what there is are blanks, or characters that the tokenizer drops"
        raise DataError("the training documents have no tokens", where=texts.corpus.uri, fix=fix)
    if unknown > options.unknown * writer.tokens:
        raise _unknown(encoder, texts, unknown / writer.tokens, options, example)
    return {
        "documents": writer.documents,
        "tokens": writer.tokens,
        "dropped": writer.dropped,
        "unknown": unknown,
    }


def _unknown(encoder: Encoder, texts: Texts, share: float, options: Tokenization, example: str) -> DataError:
    encoding = encoder.tokenizer.encode(example, add_special_tokens=False)
    spans = zip(encoding.ids, encoding.offsets, strict=True)
    words = [example[low:high][:40] for id, (low, high) in spans if id == encoder.unknown]
    return DataError(
        "too much of the text is unknown to the tokenizer",
        where=f"{texts.corpus.uri} ({texts.split})",
        found=f"{share:.1%} of the tokens are [UNK], e.g. {', '.join(map(repr, words[:5]))}",
        expected=f"at most {options.unknown:.1%} (setting tokenization.unknown)",
        fix="use kind bpe, a larger vocabulary, or a tokenizer made for these scripts",
    )


def _facts(
    options: Tokenization, tokens: Tokens, trained_on: Texts, counts: dict[str, dict[str, int]]
) -> dict[str, Any]:
    return {
        "kind": options.kind,
        "dtype": tokens.dtype.name,
        "vocab_size": tokens.size,
        "special": tokens.special,
        "added": tokens.added,
        "probes": [[text, tokens.tokenizer.encode(text, add_special_tokens=False).ids] for text in PROBES],
        "trained_on": {"documents": trained_on.documents, "bytes": trained_on.bytes},
        **{name: {split: c[name] for split, c in counts.items()} for name in next(iter(counts.values()))},
    }
