"""Settings of tokenization."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.config import setting
from components.lib.errors import ConfigError

KINDS = ("wordpiece", "bpe", "unigram", "given")


@dataclass(frozen=True)
class Config:
    """Which tokenizer, and how its tokens are stored."""

    kind: str = setting("bpe", "byte-level bpe, wordpiece, unigram, or given", choices=KINDS)
    vocabulary_size: int = setting(
        16_000, "most ids a trained tokenizer has, special ones included", minimum=300, maximum=1_000_000
    )
    min_frequency: int = setting(2, "occurrences that make a pair or character worth an id", minimum=1)
    lowercase: bool = setting(False, "train and encode in lower case")
    training_bytes: int = setting(
        100_000_000, "bytes of text the trainer sees, of documents chosen by hash; 0: all", minimum=0
    )
    tokenizer: str = setting("", "path or URI of the tokenizer.json, where kind is given")
    unknown: float = setting(
        0.05, "largest share of [UNK] among the tokens before the stage fails", minimum=0, maximum=1
    )
    shard_tokens: int = setting(100_000_000, "tokens from which on a shard is closed", minimum=1)
    workers: int = setting(0, "threads that encode; 0: one a core", minimum=0, maximum=1024)

    def check(self) -> Iterator[ConfigError]:
        """Contradictions between the kind and the other settings."""
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
