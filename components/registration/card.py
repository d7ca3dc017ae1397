"""The trunk's model card: what it is, what it saw, how it was trained, where it came from, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib import modalities
from components.lib.pages import model_card
from components.lib.pages.model_card import flat
from components.lib.storage.artifacts import Manifest

FACTS = ("modality", "architecture", "parameters", "steps", "samples")


@model_card.drawn
def card(name: str, trunk: Manifest, behind: Mapping[str, Manifest]) -> str:
    """Markdown; `behind` are the trunk's ancestors by stage."""
    corpus, tokens = (
        behind[stage].facts if stage in behind else {} for stage in ("ingestion", "tokenization")
    )
    counts: dict[str, Any] = {fact: corpus[fact] for fact in ("documents", "dropped") if fact in corpus}
    if tokens:
        _, told = modalities.load(tokens["modality"], "page").tokens(tokens)
        counts |= {name: value for name, value in told.items() if value is not None}
    return model_card.render(
        "registration/card.md.j2",
        name=name,
        facts=trunk.facts,
        known=[(fact, trunk.facts[fact]) for fact in FACTS if fact in trunk.facts],
        published=flat({k: v for k, v in trunk.facts.get("public", {}).items() if v not in ([], "")}),
        losses=flat(trunk.facts.get("loss", {})),
        counts=flat(counts),
        settings=flat(trunk.key.config),
        lineage=[(stage, made.reference) for stage, made in {"pretraining": trunk, **behind}.items()],
        load=modalities.snippet(trunk.facts["modality"], name),
    )
