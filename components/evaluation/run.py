"""Branch (with champion and anchor, where they are other models) -> metrics with intervals, a page."""

from __future__ import annotations

import json
from pathlib import Path

from components.evaluation.config import Config
from components.lib.core.settings import to_dict
from components.lib.pages.starts import gain, verdict
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context, patient
from components.lib.storage.store import Draft

VERSION = 6


@patient
def run(config: Config, context: Context, *, branch: Path, evaluation: Path, card: Path) -> dict[str, float]:
    """Scores a branch on its frozen examples, and champion and anchor of `config.model` in the same job.

    Args:
        config: see Config.
        context: the run; without a tracking server there is neither.
        branch: manifest of finetuning.
        evaluation: where the manifest of this stage is written.
        card: where its page is written; the store gets runs/<run>/verdict.<task>.json.

    Returns:
        The metrics, and the gains of the trunk over each other start, as far as they are defined.

    Raises:
        DataError: if the branch's outcomes do not fit its examples.
        MissingError: if one of them is registered but its weights are nowhere.
    """
    source = artifacts.read(branch)
    if context.tracking_uri:
        from components.evaluation.rivals import find

        rivals = find(config.model, context.tracking_uri, source)
    else:
        rivals = {}
    inputs = {"branch": source.reference} | {alias: one.reference for alias, one in rivals.items()}
    compressed = _compressed(config, context, source)
    inputs |= {f"variant.{name}": one.reference for name, one in compressed.items()}
    key = Key("evaluation", VERSION, to_dict(config), inputs)

    def build(draft: Draft) -> None:
        from components.evaluation.build import build as evaluate

        evaluate(config, context, source, rivals, compressed, draft)

    manifest = context.produce(key, build, evaluation)
    _show(context, manifest, card)
    return headline(manifest)


def _compressed(config: Config, context: Context, branch: Manifest) -> dict[str, Manifest]:
    """The variants that are asked for."""
    if not config.compress:
        return {}
    from components.evaluation import variants

    return variants.make(config, context, branch)


def _show(context: Context, manifest: Manifest, card: Path) -> None:
    """The page and the verdict, each time anew: they hold times, which are not part of the output."""
    from components.evaluation.card import render

    facts, measured = manifest.facts, manifest.measured
    details = json.loads(context.store.open(manifest, "evaluation.json").read_bytes())
    card.parent.mkdir(parents=True, exist_ok=True)
    card.write_text(render(facts, measured, details), encoding="utf-8")
    text = json.dumps({"tasks": [verdict(facts, measured)]}, indent=1)
    context.store.objects.write(f"runs/{context.run_id}/verdict.{facts['task']}.json", text.encode())
    print(f"evaluation: {facts['task']}: {facts['comparison']['sentence']}", flush=True)


def headline(manifest: Manifest) -> dict[str, float]:
    """What KFP lists beside the task: each defined metric, and the trunk's gains at the branch's labels."""
    facts = manifest.facts
    values = {name: entry["value"] for name, entry in facts["metrics"].items()}
    last = facts["comparison"]["labels"][-1]
    for start in last["starts"]:
        values[f"gain_over_{start}"] = gain(facts, last, "trunk", start).get("value")
    return {name: value for name, value in values.items() if value is not None}
