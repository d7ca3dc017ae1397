"""The report of a run: which start to use, what was promoted and why, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from components.lib import modalities
from components.lib.pages import charts, ledger, page, reliability, scorecard, starts, variants
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from components.promotion import life, provenance, training_time, trunk_section
from components.promotion.ancestry import Ancestor, of_stage, trace

SPEAKS = (  # modules by whose names the template calls them
    charts,
    ledger,
    life,
    modalities,
    provenance,
    reliability,
    scorecard,
    starts,
    training_time,
    trunk_section,
    variants,
)
VERDICTS = {
    "promoted": ("good", "promoted"),
    "unchanged": ("", "champion already"),
    "rejected": ("bad", "not promoted"),
}


def render(
    store: Store,
    decision: Mapping[str, Any],
    evaluations: Sequence[Manifest],
    registered: Manifest,
    records: Sequence[Mapping[str, Any]],
    lives: Mapping[str, Sequence[Mapping[str, Any]]],
    test_sets: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]] = lambda past: (),
) -> str:
    """One self-contained HTML page; what the store no longer holds is named as missing.

    Args:
        store: where the lineage is looked up.
        decision: decision.json.
        evaluations: one manifest a task.
        registered: the registered trunk.
        records: the run's ledger.
        lives: registered model -> every decision on it, see `history.decisions`.
        test_sets: the versions of the test set behind these, see `history.test_sets`.
    """
    return page.render(
        "promotion/report.html.j2",
        str(registered.facts["name"]),
        lead=_lead(registered, evaluations),
        footer="Made by Trunkline.",
        report=Report(store, decision, evaluations, registered),
        store=store,
        decision=decision,
        records=records,
        lives=lives,
        test_sets=test_sets,
        **{module.__name__.rpartition(".")[2]: module for module in SPEAKS},
    )


def _lead(registered: Manifest, evaluations: Sequence[Manifest]) -> str:
    names = [str(one.facts["task"]) for one in evaluations]
    tasks = f"task{'s' if len(names) != 1 else ''}: {', '.join(names)}" if names else "no task"
    return f"Trunk version {registered.facts['version']}, {tasks}"


class Report:
    """What the page says of the tasks, and the manifests behind them."""

    def __init__(
        self, store: Store, decision: Mapping[str, Any], evaluations: Sequence[Manifest], registered: Manifest
    ) -> None:
        self.store, self.decision, self.evaluations = store, decision, evaluations
        self.registered = registered

    @cached_property
    def ancestors(self) -> list[Ancestor]:
        """Every output behind the run."""
        return trace(self.store, [*self.evaluations, self.registered])

    def made_by(self, stage: str) -> Manifest | None:
        """The first output of a stage that the store holds."""
        return of_stage(self.ancestors, stage)

    def summary(self) -> tuple[str, str]:
        """Tone and headline: on how many tasks the trunk is the start to use."""
        compared = [one.facts["comparison"] for one in self.evaluations]
        tones = {one["tone"] for one in compared}
        tone = tones.pop() if len(tones) == 1 else ""
        used = [[choice["start"] == "trunk" for choice in one["choices"]] for one in compared]
        some = sum(any(one) and not all(one) for one in used)
        told = f"The trunk is the start to use on {sum(map(all, used))} of {len(used)} tasks"
        return tone, f"{told}, and on {some} with some numbers of labels" if some else told

    def tasks(self) -> list[list[object]]:
        """Rows: each task, which start to use on it, and what the branch reaches."""
        rows: list[list[object]] = []
        for facts in (evaluation.facts for evaluation in self.evaluations):
            score = facts["metrics"][facts["primary"]]["value"]
            rows.append([facts["task"], facts["comparison"]["sentence"], score])
        return rows

    def gate(self) -> list[list[object]]:
        """Rows: each task, the decision on its branch and the reasons."""
        rows: list[list[object]] = []
        for task in self.decision["tasks"]:
            tone, word = VERDICTS.get(task["verdict"], ("", task["verdict"]))
            model = f"{task['model']} version {task['version']}" if task.get("version") else task["model"]
            reasons = (
                task["reasons"][0] if len(task["reasons"]) == 1 else page.part("listing", task["reasons"])
            )
            rows.append([task["task"], page.part("badge", word, tone), model, reasons])
        return rows

    def variants(self, task: str) -> list[Mapping[str, Any]]:
        """The decision on each compressed variant of a task's branch."""
        decided: Mapping[str, Any] = next((one for one in self.decision["tasks"] if one["task"] == task), {})
        return list(decided.get("variants", ()))

    def details(self, evaluation: Manifest) -> dict[str, Any]:
        """What is too much for the facts of an evaluation; if it is gone, the line that says so."""
        try:
            text = self.store.open(evaluation, "evaluation.json").read_text(encoding="utf-8")
            found: dict[str, Any] = json.loads(text)
        except Exception as error:
            return {"problem": page.problem(error)}
        return found

    def labelled(self, evaluation: Manifest) -> dict[str, object]:
        """How the labelled data were used, what of them could not be, and with which learning rates."""
        branch = evaluation.key.inputs.get("branch", "")
        manifest = next((a.manifest for a in self.ancestors if a.reference == branch), None)
        if manifest is None:
            return {}
        facts = manifest.facts
        counts, chosen = facts.get("counts", {}), facts.get("selected", {})
        run = f"{chosen['labels']:,} labels, seed {chosen['seed']}" if chosen else None
        pairs = {
            "records to learn from": counts.get("train"),
            "left out, as they are test records too": counts.get("train_also_in_test"),
            "without a label": counts.get("unlabelled"),
            "rejected": facts.get("rejected"),
            "steps of a run, at most": facts.get("steps"),
            "what is trained": facts.get("mode"),
            "the branch is the run with": run,
        }
        for start, rates in facts.get("rates", {}).items():
            differ = len({rate for _, rate in rates}) > 1
            parts = [f"{rate:g} with {count:,} labels" if differ else f"{rate:g}" for count, rate in rates]
            pairs[f"learning rate from {start}"] = ", ".join(dict.fromkeys(parts))
        tried = facts.get("rates_tried", [])
        if len(tried) > 1:
            rates = ", ".join(f"{rate:g}" for rate in tried)
            how = "by a held-out fifth of its training labels, as many trials each"
            pairs["each is the best of"] = f"{rates}: {how}"
        return {name: value for name, value in pairs.items() if value is not None}
