"""Compressed variants at the gate: each against the full branch on the same examples, and its own version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.promotion.verdict import compare

PROMOTED, REJECTED = "promoted", "rejected"


def decide(facts: Mapping[str, Any], margin: float, *, full: bool) -> list[dict[str, Any]]:
    """What becomes of each variant that was made: it must not be worse than the branch by the margin.

    Args:
        facts: of the evaluation.
        margin: as a share of the metric's range, or of the branch's value where that has no end.
        full: whether the branch itself passed.
    """
    found = []
    for name, one in sorted((facts.get("variants") or {}).items()):
        if one["left_out"]:
            continue
        rival = {"champion": name, "champion_metrics": facts["metrics"], "difference": one["difference"]}
        finding = compare({**facts, **rival}, "", -margin, "within {} of the full branch or better")
        assert finding is not None
        passed = finding.passed and full
        reasons = [finding.reason, *([] if full else ["the full branch is not promoted"])]
        told = {"model": f"{facts['model']}-{name}", "reference": one["reference"], "reasons": reasons}
        verdict = PROMOTED if passed else REJECTED
        found.append({"name": name, **told, "passed": passed, "verdict": verdict, "numbers": finding.numbers})
    return found


def models(facts: Mapping[str, Any]) -> list[str]:
    """Names of the registered models of an evaluation: the branch's and its variants'."""
    return [facts["model"], *(f"{facts['model']}-{name}" for name in facts.get("variants") or {})]
