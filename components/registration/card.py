"""The trunk's model card: what it is, what it saw, how it was trained, where it came from, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.modalities import snippet
from components.lib.pages.model_card import code, escape, flat, number, render, table
from components.lib.storage.artifacts import Manifest

FACTS = ("modality", "architecture", "parameters", "steps", "samples", "tokens")


def card(name: str, trunk: Manifest, behind: Mapping[str, Manifest]) -> str:
    """Markdown; `behind` are the trunk's ancestors by stage."""
    facts = [(fact, trunk.facts[fact]) for fact in FACTS if fact in trunk.facts]
    losses = flat(trunk.facts.get("loss", {}))
    settings = flat(trunk.key.config)
    chain = {"pretraining": trunk, **behind}
    return render(
        name,
        [
            ("", _summary(trunk)),
            ("What it is", table(("fact", "value"), facts)),
            ("Losses", table(("loss", "value"), losses.items()) if losses else ""),
            ("Data", _data(behind)),
            ("Settings", table(("setting", "value"), settings.items()) if settings else ""),
            ("Lineage", table(("stage", "reference"), [(s, m.reference) for s, m in chain.items()])),
            ("How to load it", code(snippet(trunk.facts["modality"], name), "python")),
        ],
    )


def _summary(trunk: Manifest) -> str:
    objectives = ", ".join(sorted(trunk.facts.get("objective", {}))) or "an unknown objective"
    size = number(trunk.facts.get("parameters", "an unknown number of"))
    return (
        f"A trunk of {size} parameters, pre-trained on unlabelled data (objective: {escape(objectives)}). "
        "Branches are fine-tuned from it; by itself it gives features, not answers."
    )


def _data(behind: Mapping[str, Manifest]) -> str:
    corpus, tokens = behind.get("ingestion"), behind.get("tokenization")
    rows: list[tuple[str, Any]] = []
    for manifest, names in (
        (corpus, ("documents", "characters", "dropped")),
        (tokens, ("tokens", "vocab_size")),
    ):
        if manifest is not None:
            rows += flat({name: manifest.facts[name] for name in names if name in manifest.facts}).items()
    return table(("count", "value"), rows) if rows else ""
