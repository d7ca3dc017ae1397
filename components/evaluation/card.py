"""The page of one evaluation, for KFP's viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages import charts, page, reliability, scorecard, starts, variants


def render(facts: Mapping[str, Any], measured: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """The comparison of starts, metrics, confusion and errors of one branch."""
    kind, classes = str(facts["kind"]).replace("_", " "), len(facts["classes"])
    return page.render(
        "evaluation/card.html.j2",
        f"Evaluation of {facts['task']}",
        lead=f"{kind}: {facts['examples']:,} test examples{f', {classes} classes' if classes else ''}",
        footer=f"{scorecard.level(facts)} intervals from {facts['replicates']:,} bootstrap replicates.",
        facts=facts,
        measured=measured,
        details=details,
        charts=charts,
        reliability=reliability,
        scorecard=scorecard,
        starts=starts,
        variants=variants,
    )
