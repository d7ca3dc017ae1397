"""What the report says of pre-training and of the corpus."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from components.lib import modalities
from components.lib.pages import page
from components.lib.pages.charts import Series
from components.lib.pages.page import Figure
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

MECHANICS = ("step", "learning_rate", "gradient_norm")  # keys of the history that are not losses
VALIDATION = "validation/"
CHARTS = 6


def unit(facts: Mapping[str, Any]) -> str:
    """What the trunk reads, such as tokens."""
    return f"{modalities.load(facts['modality']).UNIT}s"


def trunk_figures(trunk: Manifest) -> list[Figure]:
    """Size, steps, loss, time."""
    facts, measured, loss = trunk.facts, trunk.measured, trunk.facts.get("loss", {})
    samples = f"{facts['samples']:,} samples" if facts.get("samples") else ""
    training = f"training {loss['train']:.3f}" if loss.get("train") is not None else ""
    rate = measured.get("units_per_second")
    # of all processes that a training had; what a manifest has of its own is how long it took to write
    seconds = measured.get("scheduled_seconds") or measured.get("seconds")
    return [
        Figure("parameters", facts.get("parameters"), facts.get("architecture", "")),
        Figure("steps", facts.get("steps"), samples),
        Figure("validation loss", loss.get("validation"), training),
        Figure("training time", page.seconds(seconds), f"{rate:,.0f} {unit(facts)}/s" if rate else ""),
    ]


def published(trunk: Manifest) -> list[tuple[str, object]]:
    """Pairs: which published weights the trunk comes from, if any, and under which licence."""
    told = trunk.facts.get("public")
    if not told:
        return []
    objective = trunk.facts.get("objective", {})
    pairs: list[tuple[str, object]] = [
        ("weights", told["reference"]),
        ("revision", told["revision"]),
        ("licence", told["license"]),
        ("family", told["model_type"]),
        ("trained on", "yes" if trunk.facts.get("steps") else "no: they are as they were published"),
    ]
    if {"masked_lm", "causal_lm"} & set(objective):
        pairs.append(("head of the language model", "the published one" if told["head"] else "made anew"))
    return pairs


def pictures(store: Store, trunk: Manifest) -> list[tuple[str, str, str]]:
    """Title, PNG in base64, and note of what the modality and the objectives drew."""
    if not trunk.names("pictures/", ".json"):
        return []
    entries = json.loads(store.open(trunk, "pictures/pictures.json").read_text(encoding="utf-8"))
    return [
        (
            entry["title"],
            base64.b64encode(store.open(trunk, entry["file"]).read_bytes()).decode(),
            entry["note"],
        )
        for entry in entries
    ]


def curves(store: Store, trunk: Manifest) -> dict[str, list[Series]]:
    """Title -> lines: the loss and each of its parts, train and validation together."""
    text = store.open(trunk, "history.jsonl").read_text(encoding="utf-8")
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in (json.loads(line) for line in text.splitlines() if line.strip()):
        for key, value in row.items():
            if key not in MECHANICS and isinstance(value, int | float):
                split = "validation" if key.startswith(VALIDATION) else "train"
                splits = points.setdefault(key.removeprefix(VALIDATION), {})
                splits.setdefault(split, []).append((row["step"], value))
    names = sorted((name for name in points if _tells(points, name)), key=lambda name: (name != "loss", name))
    return {
        name.capitalize() if name == "loss" else name.replace("_", " ").replace("/", ": "): [
            _series(split, found) for split, found in points[name].items()
        ]
        for name in names[:CHARTS]
    }


def _tells(points: Mapping[str, Mapping[str, list[tuple[float, float]]]], name: str) -> bool:
    """Not constantly zero, as the count of skipped steps is, and not the loss again, as an only part is."""
    found = [*points[name].values()]
    again = name != "loss" and found == [*points.get("loss", {}).values()]
    return not again and any(value for one in found for _, value in one)


def _series(split: str, found: list[tuple[float, float]]) -> Series:
    validation = split == "validation"
    x, y = zip(*found, strict=True)
    return Series(split, x, y, colour=1 if validation else 0, dashed=validation)


def corpus_figures(corpus: Manifest) -> list[Figure]:
    """What was read, kept and left out."""
    facts = corpus.facts
    modality = facts["modality"]
    documents, sources = facts.get("documents", {}), facts.get("sources")
    files = f"from {sources:,} source{'s' if sources != 1 else ''}" if isinstance(sources, int) else ""
    held = f"{documents.get('validation', 0):,} of them held out"
    return [
        Figure("records read", facts.get("read"), files),
        Figure(f"{modalities.load(modality).DOCUMENT}s kept", sum(documents.values()), held),
        *modalities.load(modality, "page").figures(facts),
        Figure("dropped", sum(facts.get("dropped", {}).values()), "by filters and as duplicates"),
        Figure("quarantined", facts.get("quarantined"), "could not be read"),
    ]
