"""Registers a new trunk: its run with settings, curves and data, its card, its version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from components.lib.pages.model_card import flat
from components.lib.registry.publishing import publish
from components.lib.registry.registered_models import Registered, Registry
from components.lib.registry.tracking import track
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import ancestors
from components.lib.storage.stage import Context
from components.registration.card import card
from components.registration.config import Config


def register(config: Config, context: Context, registry: Registry, source: Manifest) -> Registered:
    """Logs the run of the trunk and registers its version; repeating it completes what was begun.

    Raises:
        ServiceError: if MLflow does not take it all; then there is no version that is ready.
    """
    behind = ancestors(context.store, source)
    text = card(config.name, source, behind)
    _complete_pretraining(context, source)
    with track(context, source.key.digest, name=config.name) as tracker:
        tracker.params({stage: made.key.config for stage, made in {**behind, "pretraining": source}.items()})
        tracker.history(history(context, source))
        tracker.metrics(figures(source))
        corpus = behind.get("ingestion")
        if corpus is not None:
            tracker.dataset("corpus", corpus.digest, corpus.uri)
        tracker.text(text, "README.md")
        tracker.flush()
        facts = {name: source.facts.get(name) for name in ("modality", "architecture", "steps")}
        facts["license"] = source.facts.get("public", {}).get("license")
        tags = {f"trunkline.{name}": str(value) for name, value in facts.items() if value is not None}
        return publish(
            context, registry, tracker, source, name=config.name, use="trunk", card=text, tags=tags
        )


def _complete_pretraining(context: Context, source: Manifest) -> None:
    """Replays to the run of pretraining what an outage or a crash has kept from the server."""
    with track(context, source.key.digest, of="pretraining") as tracker:
        tracker.params({**source.key.config, "parameters": source.facts.get("parameters")})
        tracker.history(history(context, source))
        others = ("seconds", "notices")  # the store's, and what no number says
        measured = {name: value for name, value in source.measured.items() if name not in others}
        tracker.metrics(measured, source.facts.get("steps", 0))
        tracker.flush()


def history(context: Context, source: Manifest) -> Iterator[dict[str, Any]]:
    """The rows of the trunk's loss history."""
    if "history.jsonl" in source.names():
        with context.store.open(source, "history.jsonl").open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def figures(source: Manifest) -> dict[str, float]:
    """The numbers that a list of runs shows: final losses, size, speed."""
    numbers = {**flat({"final": source.facts.get("loss", {})}), **flat({"measured": source.measured})}
    numbers |= {
        name: source.facts[name] for name in ("parameters", "samples", "tokens") if name in source.facts
    }
    return {name: float(value) for name, value in numbers.items() if isinstance(value, int | float)}
