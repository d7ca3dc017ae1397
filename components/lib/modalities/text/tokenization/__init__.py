"""Tokenization of texts: a tokenizer, trained or given, and the ids of all documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components.lib.core.settings import to_dict
from components.lib.executors import Executor
from components.lib.modalities.text.settings import Tokenization
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.objects import read_named
from components.lib.storage.store import Draft, Store


def plan(
    options: Tokenization, executor: Executor, texts: Any = None
) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """What decides the output, and what builds it; raises ConfigError if a given tokenizer cannot be read.

    Args:
        texts: what reads the texts of a split, a `Texts`; None: that itself, a text a document.
    """
    given = (
        read_named(options.tokenizer, "tokenization.tokenizer", "a path or URI of a tokenizer.json")
        if options.kind == "given"
        else b""
    )
    settings = to_dict(options)
    unused = ["complete"] if options.complete else []
    unused += [] if options.sentences else ["sentences"]
    if options.kind == "given":  # it counts by its content
        settings["tokenizer"] = f"sha256:{artifacts.sha256(given)}"
        unused += ["vocabulary_size", "min_frequency", "lowercase", "training_bytes"]
    settings = {name: value for name, value in settings.items() if name not in unused}

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        from components.lib.modalities.text.tokenization.corpus_texts import Texts
        from components.lib.modalities.text.tokenization.token_shards import tokenize

        tokenize(options, executor, store, corpus, given, draft, texts or Texts)

    return settings, build
