"""What the branches stand on: pre-training, tokenizer, corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.lib import modalities
from components.lib.core.errors import IntegrityError, MissingError
from components.lib.pages import charts, page
from components.lib.pages.charts import Series
from components.lib.pages.markup import Html
from components.lib.pages.page import Figure
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from components.promotion.training_time import spending

MECHANICS = ("step", "learning_rate", "gradient_norm")  # keys of the history that are not losses
VALIDATION = "validation/"
CHARTS = 6


def pretraining(store: Store, trunk: Manifest) -> Html:
    """Losses of the trunk over its steps, and its size."""
    facts, measured = trunk.facts, trunk.measured
    loss = facts.get("loss", {})
    tiles = [
        Figure("parameters", facts.get("parameters"), facts.get("architecture", "")),
        Figure("steps", facts.get("steps"), _samples(facts)),
        Figure("validation loss", loss.get("validation"), _training_loss(loss)),
        Figure("training time", page.seconds(_time(measured)), _rate(facts, measured)),
    ]
    objective = ", ".join(sorted(facts.get("objective", {})))
    note = f"Objective: {objective}." if objective else ""
    drawn = curves(store, trunk)
    shown = [*spending(measured, _unit(facts)), *pictures(store, trunk)]
    return page.section("Pre-training", page.figures(tiles), page.columns(*drawn), *shown, note=note)


def pictures(store: Store, trunk: Manifest) -> list[Html]:
    """What the modality and the objectives drew; nothing if they drew nothing."""
    if not trunk.names("pictures/", ".json"):
        return []
    try:
        entries = json.loads(store.open(trunk, "pictures/pictures.json").read_text(encoding="utf-8"))
        drawn = [
            page.picture(entry["title"], store.open(trunk, entry["file"]).read_bytes(), entry["note"])
            for entry in entries
        ]
    except (MissingError, IntegrityError) as error:
        return [page.paragraph(page.badge(f"pictures: {error.what}", "warn"))]
    return [page.subheading("Pictures of held-out samples"), *drawn]


def curves(store: Store, trunk: Manifest) -> list[Html]:
    """A chart for the loss and for each of its parts, train and validation together."""
    try:
        text = store.open(trunk, "history.jsonl").read_text(encoding="utf-8")
    except (MissingError, IntegrityError) as error:
        return [page.paragraph(page.badge(f"history.jsonl: {error.what}", "warn"))]
    series: dict[str, dict[str, Series]] = {}
    for row in (json.loads(line) for line in text.splitlines() if line.strip()):
        for key, value in row.items():
            if key in MECHANICS or not isinstance(value, int | float):
                continue
            split = "validation" if key.startswith(VALIDATION) else "train"
            _append(series.setdefault(key.removeprefix(VALIDATION), {}), split, row["step"], value)
    names = [name for name in sorted(series, key=lambda name: (name != "loss", name)) if _tells(series, name)]
    names = names[:CHARTS]
    titles = {name: "Loss" if name == "loss" else name.replace("_", " ").replace("/", ": ") for name in names}
    return [
        charts.lines(titles[name], list(series[name].values()), "step", titles[name].lower())
        for name in names
    ]


def _tells(series: Mapping[str, Mapping[str, Series]], name: str) -> bool:
    """Not constantly zero, as the count of skipped steps is, and not the loss again, as an only part is."""
    values = [one.y for one in series[name].values()]
    again = name != "loss" and values == [one.y for one in series.get("loss", {}).values()]
    return not again and any(any(one) for one in values)


def data(corpus: Manifest | None, tokens: Manifest | None) -> Html:
    """What was read, what was left out and why, and what the trunk then read."""
    parts: list[Html] = []
    if corpus is not None:
        modality = corpus.facts["modality"]
        parts += [_corpus_tiles(corpus.facts, modality), _losses(corpus.facts)]
    if tokens is not None:
        heading, pairs = modalities.load(tokens.facts["modality"], "page").tokens(tokens.facts)
        parts += [page.subheading(heading), page.definitions(pairs)]
    if not parts:
        parts = [page.paragraph("This store does not hold the corpus or its tokens.", note=True)]
    return page.section("Data", *parts)


def _corpus_tiles(facts: Mapping[str, Any], modality: str) -> Html:
    documents = facts.get("documents", {})
    kept = sum(documents.values())
    held = f"{documents.get('validation', 0):,} of them held out"
    return page.figures(
        [
            Figure("records read", facts.get("read"), _sources(facts.get("sources"))),
            Figure(f"{modalities.load(modality).DOCUMENT}s kept", kept, held),
            *modalities.load(modality, "page").figures(facts),
            Figure("dropped", sum(facts.get("dropped", {}).values()), "by filters and as duplicates"),
            Figure("quarantined", facts.get("quarantined"), "could not be read"),
        ]
    )


def _losses(facts: Mapping[str, Any]) -> Html:
    reasons = sorted(facts.get("dropped", {}).items(), key=lambda item: (-item[1], item[0]))
    if facts.get("quarantined"):
        reasons.append(("quarantined", facts["quarantined"]))
    if not reasons:
        return page.paragraph("Nothing was dropped.", note=True)
    read = facts.get("read") or 1
    rows = [[reason.replace("_", " "), count, f"{count / read:.2%}"] for reason, count in reasons]
    return page.table(["left out because", "records", "of those read"], rows)


def _append(splits: dict[str, Series], split: str, step: float, value: float) -> None:
    validation = split == "validation"
    one = splits.setdefault(split, Series(split, [], [], colour=1 if validation else 0, dashed=validation))
    assert isinstance(one.x, list) and isinstance(one.y, list)
    one.x.append(step)
    one.y.append(value)


def _sources(count: object) -> str:
    return f"from {count:,} source{'s' if count != 1 else ''}" if isinstance(count, int) else ""


def _samples(facts: Mapping[str, Any]) -> str:
    return f"{facts['samples']:,} samples" if facts.get("samples") else ""


def _training_loss(loss: Mapping[str, Any]) -> str:
    return f"training {loss['train']:.3f}" if loss.get("train") is not None else ""


def _time(measured: Mapping[str, Any]) -> float | None:
    """Of all processes that a training had; what a manifest has of its own is how long it took to write."""
    seconds: float | None = measured.get("scheduled_seconds") or measured.get("seconds")
    return seconds


def _rate(facts: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    rate = measured.get("tokens_per_second")
    return f"{rate:,.0f} {_unit(facts)}/s" if rate else ""


def _unit(facts: Mapping[str, Any]) -> str:
    """What the trunk reads."""
    return f"{modalities.load(facts['modality']).UNIT}s"
