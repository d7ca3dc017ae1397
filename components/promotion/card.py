"""The branch's model card: what it answers, how well, from what it was made, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.modalities import snippet
from components.lib.pages.model_card import code, escape, flat, render, table
from components.lib.storage.artifacts import Manifest


def card(name: str, branch: Manifest, evaluation: Manifest) -> str:
    """Markdown."""
    facts = evaluation.facts
    level = f"{facts['confidence']:.0%} interval"
    metrics = [
        (metric, _value(entry["value"]), f"{_value(entry['low'])} to {_value(entry['high'])}")
        for metric, entry in facts["metrics"].items()
    ]
    settings = flat(branch.key.config)
    lineage = [("finetuning", branch.reference), ("evaluation", evaluation.reference)]
    lineage += [(stage, reference) for stage, reference in sorted(branch.key.inputs.items())]
    return render(
        name,
        [
            ("", _summary(facts)),
            ("Metrics", table(("metric", "value", level), metrics)),
            ("Classes", ", ".join(escape(label) for label in facts["classes"][:100])),
            ("Settings", table(("setting", "value"), settings.items()) if settings else ""),
            ("Lineage", table(("input", "reference"), lineage)),
            ("How to load it", code(snippet(branch.facts["modality"], name), "python")),
        ],
    )


def _summary(facts: Mapping[str, Any]) -> str:
    """What it answers and how well, in a sentence: lists of models show no more."""
    found = facts["metrics"][facts["primary"]]
    value = f"{_value(found['value'])} ({_value(found['low'])} to {_value(found['high'])})"
    return (
        f"Fine-tuned for the task {escape(facts['task'])} ({escape(facts['kind'])}): "
        f"{escape(facts['primary'])} {value} on {facts['examples']:,} examples."
    )


def _value(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
