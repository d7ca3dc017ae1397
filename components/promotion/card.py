"""The branch's model card: what it answers, how well, from what it was made, how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib import tasks
from components.lib.modalities import snippet
from components.lib.pages import model_card, scorecard, starts, variants
from components.lib.pages.model_card import flat
from components.lib.storage.artifacts import Manifest
from components.promotion import life


@model_card.drawn
def card(
    name: str,
    branch: Manifest,
    evaluation: Manifest,
    decided: Sequence[Mapping[str, Any]],
    variant: str = "",
) -> str:
    """Markdown; `decided`: every decision on the model, this one last; none of a compressed variant."""
    own = evaluation.facts["variants"][variant] if variant else evaluation.facts
    facts = {**evaluation.facts, "metrics": own["metrics"]}
    metrics = {
        scorecard.described(facts, metric): [_value(entry[end]) for end in ("value", "low", "high")]
        for metric, entry in facts["metrics"].items()
    }
    lineage = [(branch.key.stage, branch.reference), ("evaluation", evaluation.reference)]
    return model_card.render(
        "promotion/card.md.j2",
        name=name,
        facts=facts,
        compared=starts.card(facts, evaluation.measured),
        primary=scorecard.described(facts),
        variant=variant,
        variants=variants.table(evaluation.facts, evaluation.measured),
        metrics=metrics,
        settings=flat(branch.key.config),
        budget=life.budget(decided) if decided else {},
        trusted=None if variant else facts.get("calibration"),
        lineage=[*lineage, *sorted(branch.key.inputs.items())],
        load=snippet(branch.facts["modality"], name, inputs=tasks.served(branch.facts["kind"])),
    )


def _value(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
