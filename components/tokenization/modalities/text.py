"""Text: a tokenizer, trained or given, and the ids of all documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.lib.core.errors import ConfigError, MissingError
from components.lib.core.settings import setting, to_dict
from components.lib.storage import artifacts
from components.tokenization import config as common

if TYPE_CHECKING:
    from components.lib.storage.artifacts import Manifest
    from components.lib.storage.store import Draft, Store

KINDS = ("wordpiece", "bpe", "unigram", "given")


@dataclass(frozen=True)
class Config(common.Config):
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


def plan(config: Config) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """Raises ConfigError if the given tokenizer cannot be read."""
    given = _given(config.tokenizer) if config.kind == "given" else b""

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        from components.tokenization.build import tokenize

        tokenize(config, store, corpus, given, draft)

    return _identity(config, given), build


def _identity(config: Config, given: bytes) -> dict[str, Any]:
    """What decides the output: a given tokenizer counts by its content, and how many work does not count."""
    settings = to_dict(config)
    del settings["workers"]
    if config.kind == "given":
        settings["tokenizer"] = f"sha256:{artifacts.sha256(given)}"
        for unused in ("vocabulary_size", "min_frequency", "lowercase", "training_bytes"):
            del settings[unused]
    return settings


def _given(uri: str) -> bytes:
    from components.lib.storage.objects import connect

    folder, _, name = uri.rpartition("/")
    try:
        return connect(folder or ("/" if uri.startswith("/") else ".")).read(name)
    except (MissingError, OSError) as error:
        raise ConfigError(
            "the given tokenizer cannot be read", where="tokenization.tokenizer", found=f"{uri}: {error}",
            expected="a path or URI of a tokenizer.json",
        ) from error  # fmt: skip
