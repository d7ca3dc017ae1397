"""Tokenization: corpus -> what a trunk reads: of text a tokenizer and token shards, of images arrays."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from components.lib import executors, modalities
from components.lib.core.errors import DataError
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context, patient
from components.lib.storage.store import Draft
from components.tokenization.config import Config

VERSION = 1


@patient
def run(config: Config, context: Context, *, corpus: Path, tokens: Path) -> Manifest:
    """Writes the tokens manifest to `tokens`.

    Raises:
        ConfigError: if the given tokenizer cannot be read.
        DataError: if the corpus or the given tokenizer cannot be used.
    """
    source = artifacts.read(corpus)
    found = source.facts.get("modality")
    if found != config.modality:
        fix = "set the modality of the run"
        raise DataError(
            "the corpus is of another kind", where=source.uri, found=found, expected=config.modality, fix=fix
        )
    executor = executors.start(config.engine, config.address, config.workers, "tokenization")
    identity, fill = modalities.load(config.modality, "tokenization").plan(config.own, executor)
    settings = {"modality": config.modality, **identity}
    key = Key("tokenization", VERSION, settings, {"corpus": source.reference})

    def build(draft: Draft) -> None:
        fill(context.store, source, draft)
        draft.facts = {"modality": config.modality, **draft.facts}

    with closing(executor):
        manifest = context.produce(key, build, tokens)
    for notice in manifest.facts.get("notices", ()):
        context.tell(notice)
    return manifest
