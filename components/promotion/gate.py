"""Promotion gate: rules over one evaluation, each with a finding that says why.

A rule is a file in `rules/` with a `Config` and `judge(config, facts) -> Finding | None`, where `facts` are
those of an evaluation and None means that the rule does not apply. Intervals and paired differences
come from the evaluation, so a rule knows no task and a new task needs no new rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigErrors, TrunklineError, collected
from components.lib.core.settings import from_dict
from components.promotion.verdict import Finding

RULES = "components.promotion.rules"


@dataclass(frozen=True)
class Rule:
    """A rule with its options."""

    name: str
    module: ModuleType
    options: Any

    def judge(self, facts: Mapping[str, Any]) -> Finding | None:
        """What the rule says of an evaluation; None if it does not apply."""
        finding: Finding | None = self.module.judge(self.options, facts)
        return finding


def load(rules: Mapping[str, Mapping[str, Any]]) -> list[Rule]:
    """The rules of the settings, in the order of their names.

    Raises:
        ConfigErrors: with every unknown rule and every wrong option.
    """
    loaded: list[Rule] = []
    with collected() as errors:
        for name, options in sorted(rules.items()):
            try:
                module = plugins.load(RULES, name)
                loaded.append(
                    Rule(name, module, from_dict(module.Config, options, f"promotion.rules.{name}"))
                )
            except ConfigErrors as error:
                errors.extend(error.errors)
            except TrunklineError as error:
                errors.append(error)
    return loaded


def judge(rules: list[Rule], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Whether an evaluation passes, and each rule's finding as JSON."""
    findings = [{"rule": rule.name, **asdict(found)} for rule in rules if (found := rule.judge(facts))]
    return {"passed": all(finding["passed"] for finding in findings), "findings": findings}
