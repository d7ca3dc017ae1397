"""Incremental ingestion: the sources that a corpus, and those before it, do not hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from components.ingestion.config import Config
from components.ingestion.packs import Slice
from components.lib.core.errors import MissingError
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store

UNCHANGED = "the data is unchanged"
SINCE = "since"  # the input of an increment: the corpus that it continues


def split(store: Store, since: str, parts: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """The sources that are new and those that are known, by their content; a new name is not new content.

    Args:
        since: reference of a corpus, or empty: then all are new.
    """
    held = _contents(store, since)
    fresh = [part for part in parts if part.source["sha256"] not in held]
    if since and all("lost" in part.source for part in fresh):
        fresh = []  # a file that cannot be read is not news
    return fresh, [part for part in parts if part.source["sha256"] in held]


def inputs(since: str, parts: Sequence[Slice]) -> dict[str, str]:
    """Of the key of a corpus: the content and the names of its sources, and the corpus that it continues."""
    listing = [[part.source["name"], part.source["sha256"]] for part in parts]
    digest = artifacts.sha256(artifacts.canonical(listing))
    return {"sources": digest, **({SINCE: since} if since else {})}


def tell(config: Config, context: Context, corpus: Manifest, output: Path) -> None:
    """Leaves the stages behind this one nothing to do if all of the data was known before the run.

    Args:
        output: where the manifest of the corpus was written.
    """
    if corpus.reference == config.since or _same(context.store, corpus, config.known):
        context.passed_on = UNCHANGED
        artifacts.pass_on(UNCHANGED, output)
        print(f"ingestion: {UNCHANGED}: all other stages pass this on", flush=True)


def _same(store: Store, corpus: Manifest, known: str) -> bool:
    """Whether the corpus `known`, with those that it continues, was made of the same data in the same way."""
    if not known or corpus.reference == known:
        return bool(known)
    try:
        other = store.resolve(known)
        same_data = _contents(store, corpus.reference) == _contents(store, known)
    except MissingError:  # it was cleaned away: then nobody knows
        return False
    return same_data and corpus.key.config == other.key.config


def _contents(store: Store, reference: str) -> set[str]:
    """Digests of the sources of a corpus and of those that it continues."""
    held: set[str] = set()
    while reference:
        corpus = store.resolve(reference)
        statistics = json.loads(store.open(corpus, "statistics.json").read_bytes())
        held |= {source["sha256"] for source in statistics["sources"]}
        reference = corpus.key.inputs.get(SINCE, "")
    return held
