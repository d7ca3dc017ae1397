"""Quality filters: one file a rule. The file's name is the rule's name.

A rule declares a `Config` and `reason(document: Document, config: Config) -> str | None`: why the document
is dropped, or None. Rules hold for any language and script by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError, collected
from components.lib.core.settings import from_dict, to_dict

Rule = Callable[[Any], str | None]


def check(chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The options of each rule with the defaults filled in, in the order of their names; imports nothing.

    Raises:
        ConfigErrors: with every unknown rule, unknown option and illegal value.
    """
    complete = {}
    with collected() as errors:
        for name, options in sorted(chosen.items()):
            try:
                config = plugins.declared(__name__, name).config
                complete[name] = to_dict(from_dict(config or object, options, f"ingestion.filters.{name}"))
            except ConfigError as error:
                error.where = error.where or f"ingestion.filters.{name}"
                errors.append(error)
    return complete


def load(chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, Rule]:
    """The rules by name, each with its options."""
    rules = {}
    for name, options in chosen.items():
        plugin = plugins.load(__name__, name)
        rules[name] = _bound(plugin.reason, from_dict(plugin.Config, options, f"ingestion.filters.{name}"))
    return rules


def _bound(reason: Callable[[Any, Any], str | None], config: Any) -> Rule:
    return lambda document: reason(document, config)
