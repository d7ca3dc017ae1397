"""The report of a run: did pre-training pay, what was promoted and why, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.pages import page, scorecard
from components.lib.pages.markup import Html
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from components.promotion import provenance, trunk_section
from components.promotion.ancestry import Ancestor, of_stage, trace

VERDICTS = {
    "promoted": ("good", "promoted"),
    "unchanged": ("", "champion already"),
    "rejected": ("bad", "not promoted"),
}
PAYS = {"good": "pays", "bad": "hurts", "warn": "no clear gain", "": "not compared"}


def render(
    store: Store,
    decision: Mapping[str, Any],
    evaluations: Sequence[Manifest],
    registered: Manifest,
    records: Sequence[Mapping[str, Any]],
) -> str:
    """One self-contained HTML page; what the store no longer holds is named as missing.

    Args:
        store: where the lineage is looked up.
        decision: decision.json.
        evaluations: one manifest a task.
        registered: the registered trunk.
        records: the run's ledger.
    """
    ancestors = trace(store, [*evaluations, registered])
    trunk = of_stage(ancestors, "pretraining")
    facts = [evaluation.facts for evaluation in evaluations]
    sections = [*_answer(facts), _gate(decision)]
    for evaluation in evaluations:
        sections.append(_task(store, evaluation, ancestors, several=len(evaluations) > 1))
    if trunk is not None:
        sections.append(trunk_section.pretraining(store, trunk))
    sections.append(trunk_section.data(of_stage(ancestors, "ingestion"), of_stage(ancestors, "tokenization")))
    sections += [provenance.timings(records), provenance.loading(decision)]
    sections += [provenance.lineage(ancestors), provenance.settings(ancestors)]
    lead = f"Trunk version {registered.facts['version']}, {_tasks(facts)}"
    return page.page(str(registered.facts["name"]), sections, lead=lead, footer="Made by Trunkline.")


def _answer(facts: Sequence[Mapping[str, Any]]) -> list[Html]:
    """The first screen: whether pre-training paid."""
    if len(facts) == 1:
        tone, headline, basis = scorecard.payoff(facts[0])
        tiles = [*scorecard.payoff_figures(facts[0]), scorecard.primary_figure(facts[0])]
        return [page.verdict(tone, headline, [basis]), page.figures(tiles)]
    tones = [scorecard.payoff(one)[0] for one in facts]
    paid = tones.count("good")
    tone = "good" if facts and paid == len(facts) else "bad" if "bad" in tones and not paid else "warn"
    rows = []
    for one, found in zip(facts, tones, strict=True):
        efficiency = one.get("efficiency") or {"gain": [{}], "labels": [None]}
        gain = efficiency["gain"][0]
        words = f"{scorecard.points(gain.get('value'))} points"
        within = scorecard.span(gain, differences=True)
        score = one["metrics"][one["primary"]]["value"]
        answer = page.badge(PAYS[found], found)
        rows.append([one["task"], answer, efficiency["labels"][0], words, within, score])
    headers = ["task", "pre-training", "labels", "gain", "interval", "primary metric"]
    headline = f"Pre-training pays on {paid} of {len(facts)} tasks"
    return [page.verdict(tone, headline), page.table(headers, rows)]


def _gate(decision: Mapping[str, Any]) -> Html:
    rows = []
    for task in decision["tasks"]:
        tone, word = VERDICTS.get(task["verdict"], ("", task["verdict"]))
        model = f"{task['model']} version {task['version']}" if task.get("version") else task["model"]
        reasons = task["reasons"][0] if len(task["reasons"]) == 1 else page.listing(task["reasons"])
        rows.append([task["task"], page.badge(word, tone), model, reasons])
    table = page.table(["task", "decision", "model", "because"], rows)
    champion = "The trunk is the champion, too: every branch passed." if decision.get("trunk_passed") else ""
    return page.section("Gate", table, note=champion)


def _task(store: Store, evaluation: Manifest, ancestors: list[Ancestor], *, several: bool) -> Html:
    facts = evaluation.facts
    heading = f"Task {facts['task']}"
    parts: list[Html] = []
    if several:
        tone, headline, basis = scorecard.payoff(facts)
        parts.append(page.verdict(tone, headline, [basis]))
    if facts.get("efficiency"):
        parts += [scorecard.efficiency_charts(facts), scorecard.efficiency_table(facts)]
    parts += [page.subheading(_compared(facts)), scorecard.metrics_table(facts)]
    parts += _details(store, evaluation)
    kind = facts["kind"].replace("_", " ")
    note = f"{kind}, {facts['examples']:,} test examples, {len(facts['classes'])} classes."
    parts += _labelled(evaluation.key.inputs.get("branch", ""), ancestors)
    return page.section(heading, *parts, note=note)


def _labelled(branch: str, ancestors: list[Ancestor]) -> list[Html]:
    """How the labelled data were used, and what of them could not be."""
    manifest = next((a.manifest for a in ancestors if a.reference == branch), None)
    if manifest is None:
        return []
    facts = manifest.facts
    counts, chosen = facts.get("counts", {}), facts.get("selected", {})
    pairs = {
        "records to learn from": counts.get("train"),
        "left out, as they are test records too": counts.get("train_also_in_test"),
        "rejected": facts.get("rejected"),
        "steps of each run": facts.get("steps"),
        "what is trained": facts.get("mode"),
        "the branch is the run with": f"{chosen['labels']:,} labels, seed {chosen['seed']}"
        if chosen
        else None,
    }
    known = {name: value for name, value in pairs.items() if value is not None} | _rates(facts)
    return [page.subheading("Labelled data and fine-tuning"), page.definitions(known)]


def _rates(facts: Mapping[str, Any]) -> dict[str, str]:
    """The learning rates that each start got, and how."""
    told = {}
    for start, rates in facts.get("rates", {}).items():
        differ = len({rate for _, rate in rates}) > 1
        parts = [f"{rate:g} with {count:,} labels" if differ else f"{rate:g}" for count, rate in rates]
        told[f"learning rate from {start}"] = ", ".join(dict.fromkeys(parts))
    tried = facts.get("rates_tried", [])
    if len(tried) > 1:
        listing = ", ".join(f"{rate:g}" for rate in tried)
        told["each is the best of"] = (
            f"{listing}: by a held-out fifth of its training labels, as many trials each"
        )
    return told


def _compared(facts: Mapping[str, Any]) -> str:
    if facts.get("champion"):
        return "Champion and challenger on the same examples, scored in one job"
    return "The branch on the test examples"


def _details(store: Store, evaluation: Manifest) -> list[Html]:
    """Which classes are taken for which; of images, the surest errors, or what the task draws."""
    facts = evaluation.facts
    try:
        details = json.loads(store.open(evaluation, "evaluation.json").read_text(encoding="utf-8"))
    except (MissingError, IntegrityError) as error:
        problem = page.paragraph(page.badge(f"evaluation.json: {error.what}", "warn"))
        return [page.stack(scorecard.confusion(facts), problem)] if facts.get("confusion") else [problem]
    parts: list[Html] = []
    if facts.get("confusion"):
        parts.append(scorecard.confusion(facts, details.get("worst_confusions", [])))
    errors = details.get("confident_errors") or [{}]
    if "picture" in errors[0]:
        parts += [page.subheading("Surest errors"), scorecard.errors(errors)]
    if details.get("pictures"):
        parts += [page.subheading("Examples"), scorecard.answers(details["pictures"])]
    return parts


def _tasks(facts: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(str(one["task"]) for one in facts)
    return f"task{'s' if len(facts) != 1 else ''}: {names}" if facts else "no task"
