"""The texts of an ingested corpus, for what compares with them after training."""

from __future__ import annotations

from collections.abc import Iterator

from components.lib.modalities.text.tokenization.corpus_texts import Texts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store


def texts(store: Store, corpus: Manifest) -> Iterator[list[str]]:
    """Batches of the documents that were trained on."""
    yield from Texts(store, corpus, "train").batches()
