"""The decision: a pure function of evaluations, rules and who is champion already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core.settings import to_dict
from components.lib.storage.artifacts import Manifest
from components.promotion import variants
from components.promotion.champion import Candidate
from components.promotion.gate import Rule, judge

PROMOTED, REJECTED, UNCHANGED = "promoted", "rejected", "unchanged"


def decide(
    rules: list[Rule], trunk: Manifest, candidates: list[Candidate], variant_margin: float
) -> dict[str, Any]:
    """What becomes of each branch and of the trunk.

    The trunk becomes the champion if every branch passed and grew from it.

    Args:
        rules: of the gate.
        trunk: the registered trunk.
        candidates: one a task.
        variant_margin: of their compressed variants.
    """
    tasks = [_task(rules, one) for one in candidates]
    for task, one in zip(tasks, candidates, strict=True):
        task["variants"] = variants.decide(one.facts, variant_margin, full=task["passed"])
    return {
        "name": trunk.facts["name"],
        "trunk": trunk.key.inputs["trunk"],
        "trunk_passed": all(task["passed"] for task in tasks),
        "rules": {rule.name: to_dict(rule.options) for rule in rules},
        "tasks": tasks,
    }


def _task(rules: list[Rule], candidate: Candidate) -> dict[str, Any]:
    facts, champion = candidate.facts, candidate.reigns
    judged, compared = judge(rules, facts), facts.get("comparison") or {}
    verdict = (UNCHANGED if champion else PROMOTED) if judged["passed"] else REJECTED
    return {
        "task": facts["task"],
        "model": facts["model"],
        "kind": facts["kind"],
        "modality": facts["modality"],
        "verdict": verdict,
        **judged,
        "reasons": reasons(judged["findings"], facts, champion),
        "constant": doubt(facts),
        "branch": candidate.branch,
        "evaluation": candidate.evaluation.reference,
        "champion": facts.get("champion"),
        "anchor": facts.get("anchor"),
        "decision": facts["decision"],
        "test_set": facts.get("test_set"),
        "primary": facts["primary"],
        "metrics": facts["metrics"],
        "difference": facts.get("difference"),
        "recommended": {str(one["count"]): one["start"] for one in compared.get("choices", [])},
        "sentence": compared.get("sentence", ""),
    }


def reasons(findings: list[dict[str, Any]], facts: Mapping[str, Any], champion: bool) -> list[str]:
    """The sentences that a reader gets: failures first."""
    sentences = [finding["reason"] for finding in sorted(findings, key=lambda finding: finding["passed"])]
    sentences += filter(None, [facts.get("since"), doubt(facts)])
    if champion:
        sentences.append("this content is the champion already: nothing moves")
    elif not facts.get("champion"):
        sentences.append("there is no champion yet to compare with")
    return sentences


def doubt(facts: Mapping[str, Any]) -> str:
    """Says if a branch is not shown to be better than the majority class, or than no answer at all."""
    constant = facts.get("constant")
    if not constant or constant["better"]:
        return ""
    what = f"always answering '{constant['answer']}'" if constant["answer"] else "answering nothing"
    name, value = facts["primary"], facts["metrics"][facts["primary"]]["value"]
    found = "undefined" if value is None else f"{value:.4f}"
    other = "" if constant["value"] is None else f", which has {constant['value']:.4f}"
    return f"its {name} of {found} is not shown to be better than {what}{other}"
