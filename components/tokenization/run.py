"""Tokenization: corpus -> tokenizer and memory-mapped token shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lib import artifacts
from components.lib.artifacts import Key, Manifest
from components.lib.config import to_dict
from components.lib.errors import ConfigError, MissingError
from components.lib.objects import connect
from components.lib.stage import Context
from components.lib.store import Draft
from components.tokenization.config import Config

VERSION = 1


def run(config: Config, context: Context, *, corpus: Path, tokens: Path) -> Manifest:
    """Writes the tokens manifest to `tokens`.

    Raises:
        ConfigError: if the given tokenizer cannot be read.
        DataError: if the corpus or the given tokenizer cannot be used.
    """
    source = artifacts.read(corpus)
    given = _given(config.tokenizer) if config.kind == "given" else b""
    key = Key("tokenization", VERSION, _identity(config, given), {"corpus": source.reference})

    def build(draft: Draft) -> None:
        from components.tokenization.build import tokenize

        tokenize(config, context.store, source, given, draft)

    return context.produce(key, build, tokens)


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
    folder, _, name = uri.rpartition("/")
    try:
        return connect(folder or ("/" if uri.startswith("/") else ".")).read(name)
    except (MissingError, OSError) as error:
        raise ConfigError(
            "the given tokenizer cannot be read", where="tokenization.tokenizer", found=f"{uri}: {error}",
            expected="a path or URI of a tokenizer.json",
        ) from error  # fmt: skip
