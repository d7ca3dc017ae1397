"""Settings of each stage that only texts have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting

TOKENIZERS = ("wordpiece", "bpe", "unigram", "word", "given")
ARCHITECTURES = ("bert", "modernbert", "gpt2", "llama", "static")
WORDS_UNKNOWN = 0.5  # share of words that may be too rare for a vocabulary of whole words
SIZES = ("nano", "micro", "tiny", "mini", "small", "medium", "base", "large")


@dataclass(frozen=True)
class Ingestion:
    """Quality rules, near duplicates and contamination of texts."""

    filters: dict[str, dict[str, Any]] = setting(
        {"length": {}, "letters": {}, "repetition": {}, "symbols": {}},
        "quality rules and their options; they are asked in the order of their names",
    )
    near_duplicates: float = setting(
        0.8,
        "Jaccard similarity of 5-word shingles above which one text is dropped; 0: off",
        minimum=0,
        maximum=1,
    )
    ngram: int = setting(
        13, "words of a run that counts as shared with an evaluation set", minimum=2, maximum=64
    )
    overlap: float = setting(
        0.5,
        "share of a document's runs, or of an evaluation document's, from which on it is contaminated",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class Tokenization:
    """Which tokenizer, and how its tokens are stored."""

    kind: str = setting(
        "bpe",
        "byte-level bpe, wordpiece, unigram, word (rare ones are dropped), or given",
        choices=TOKENIZERS,
    )
    vocabulary_size: int = setting(
        16_000, "most ids a trained tokenizer has, special ones included", minimum=300, maximum=1_000_000
    )
    min_frequency: int = setting(
        2, "occurrences that make a pair or character worth an id; documents, of a word", minimum=1
    )
    lowercase: bool = setting(False, "train and encode in lower case")
    training_bytes: int = setting(
        100_000_000, "bytes of text the trainer sees, of documents chosen by hash; 0: all", minimum=0
    )
    tokenizer: str = setting("", "path or URI of the tokenizer.json, where kind is given")
    complete: bool = setting(
        True, "give a given one the special tokens it lacks; published weights have no rows for them"
    )
    unknown: float = setting(
        0.05,
        "largest share of [UNK] among the tokens before the stage fails; where rare words are dropped, "
        f"at least {WORDS_UNKNOWN}",
        minimum=0,
        maximum=1,
    )
    sentences: str = setting(
        "",
        "marks where they begin, for pairs of texts: by lines, or by the language of the corpus (en, de, ja, "
        "...); empty: nowhere",
    )
    shard_tokens: int = setting(100_000_000, "tokens from which on a shard is closed", minimum=1)

    def check(self) -> Iterator[ConfigError]:
        """Contradictions between the kind and the other settings."""
        if self.sentences not in ("", "lines") and not re.fullmatch("[a-z]{2,3}", self.sentences):
            expected = "lines, or the code of a language, such as en"
            what, where = "sentences cannot be found so", "tokenization.sentences"
            yield ConfigError(what, where=where, found=self.sentences, expected=expected)
        where = "tokenization.tokenizer"
        if self.kind == "given" and not self.tokenizer:
            yield ConfigError(
                "no tokenizer is given", where=where, expected="a path or URI of a tokenizer.json"
            )
        if self.kind != "given" and self.tokenizer:
            fix = "set tokenization.kind to given, or leave the tokenizer out"
            yield ConfigError("a tokenizer is given and one is to be trained", where=where, fix=fix)
        if self.kind == "given" and self.lowercase:
            fix = "leave it out: a given tokenizer normalises as its file says"
            yield ConfigError(
                "a given tokenizer cannot be told to lower-case", where="tokenization.lowercase", fix=fix
            )


@dataclass(frozen=True)
class Pretraining:
    """How text becomes samples, and which trunk reads it."""

    architecture: str = setting(
        "modernbert",
        "family of transformers, or static: a weighted sum of word vectors",
        choices=ARCHITECTURES,
    )
    size: str = setting("tiny", "layers and width, by name", choices=SIZES)
    sequence_length: int = setting(
        128,
        "tokens of a row, or of a text where there are no rows; bos and eos included",
        minimum=8,
        maximum=32768,
    )
    unit: str = setting(
        "chunk", "a sample is a chunk that fits a row, or a whole document", choices=("chunk", "document")
    )
    views: str = setting(
        "crops",
        "two views are independent crops, or the parts of a cut at a random place in the middle third",
        choices=("crops", "cut"),
    )
    crop: float = setting(
        0.6, "largest share of a document that one of several views shows", minimum=0.05, maximum=1.0
    )
    depth: int = setting(
        1, "static: feed-forward layers on the text vector; of short texts 0 is better", minimum=0, maximum=8
    )
    dropout: float = setting(0.0, "of hidden states; llama and static have none", minimum=0.0, maximum=0.9)

    def check(self) -> Iterator[ConfigError]:
        """What spans several fields."""
        if self.dropout and self.architecture in ("llama", "static"):
            where, fix = "pretraining.trunk.dropout", "set it to 0, or choose another architecture"
            what = f"{self.architecture} has no dropout"
            yield ConfigError(what, where=where, found=self.dropout, expected=0, fix=fix)


@dataclass(frozen=True)
class Finetuning:
    """How branches read texts."""

    max_length: int = setting(128, "tokens to which inputs are cut", minimum=4)
