"""The page of one evaluation, for KFP's viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages import page, scorecard


def render(facts: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    """Metrics, label efficiency, confusion and errors of one branch."""
    tone, headline, basis = scorecard.payoff(facts)
    tiles = [*scorecard.payoff_figures(facts), scorecard.primary_figure(facts)]
    sections = [page.verdict(tone, headline, [basis]), page.figures(tiles)]
    sections.append(page.section("Metrics", scorecard.metrics_table(facts), note=_model(facts)))
    if facts["efficiency"]:
        note = (
            "Trunk and random start share labels, seeds, steps and test examples; intervals resample both "
            "seeds and examples."
        )
        charts, table = scorecard.efficiency_charts(facts), scorecard.efficiency_table(facts)
        sections.append(page.section("Label efficiency", charts, table, note=note))
    if facts["confusion"]:
        matrix = scorecard.confusion(facts, details["worst_confusions"])
        sections.append(page.section("Confusion", matrix))
    if details["confident_errors"]:
        sections.append(page.section("Surest errors", scorecard.errors(details["confident_errors"])))
    if details["pictures"]:
        sections.append(page.section("Examples", scorecard.answers(details["pictures"])))
    kind = facts["kind"].replace("_", " ")
    lead = f"{kind}: {facts['examples']:,} test examples, {len(facts['classes'])} classes"
    footer = f"{scorecard.level(facts)} intervals from {facts['replicates']:,} bootstrap replicates."
    return page.page(f"Evaluation of {facts['task']}", sections, lead=lead, footer=footer)


def _model(facts: Mapping[str, Any]) -> str:
    champion = facts["champion"]
    if champion is None:
        return (
            f"The branch that is registered as {facts['model']}. There is no other champion to compare with."
        )
    return (
        f"The branch that is registered as {facts['model']}, and its champion (version "
        f"{champion['version']}), scored in one job on the same examples."
    )
