"""Checks of names: every plugin that the settings mention exists, and its options fit.

Plugins are read, not imported: preflight runs where there is no torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from components.lib import compressions, modalities
from components.lib.core import plugins
from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError
from components.lib.core.plugins import Declaration
from components.lib.core.settings import did_you_mean, from_dict
from components.lib.data import sources

OBJECTIVES = "components.lib.objectives"
LAUNCHERS = "components.pretraining.launchers"
FILTERS = "components.lib.modalities.text.filters"
FORMATS = "components.lib.data.formats"
COMPRESSIONS = "components.lib.compressions"
MODES = "components.lib.modes"
RULES = "components.promotion.rules"
TASKS = "components.lib.tasks"

Errors = Iterator[TrunklineError]


def check(stages: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Errors:
    """Every name that leads nowhere; a section that is None is reported already and skipped.

    Args:
        stages: stage -> its `Config`, or None.
        tasks: `{"name", "finetuning": Config | None, "evaluation": Config | None}`.
    """
    for name, section in (
        ("ingestion", _ingestion),
        ("pretraining", _pretraining),
        ("promotion", _promotion),
    ):
        if stages[name] is not None:
            yield from section(stages[name])
    for task in tasks:
        if task["finetuning"] is not None:
            yield from _finetuning(task["finetuning"], f"tasks.{task['name']}")
        if task["evaluation"] is not None:
            yield from _compressions(task["evaluation"], f"tasks.{task['name']}.evaluation.compress")


def declared(package: str, name: str) -> Declaration | None:
    """What a plugin says of itself; None if there is no such plugin."""
    return plugins.declared(package, name) if name in plugins.names(package) else None


def _ingestion(config: Any) -> Errors:
    for index, source in enumerate(config.sources):
        yield from _source(source, f"ingestion.sources[{index}]")
    yield from _format(config.format, "ingestion.format")
    for name, options in config.format_options.items():
        yield from _plugin(FORMATS, name, options, f"ingestion.format_options.{name}")
    for name, options in getattr(config.own, "filters", {}).items():
        yield from _plugin(FILTERS, name, options, f"ingestion.filters.{name}")


def _pretraining(config: Any) -> Errors:
    if config.modality not in modalities.names():
        fix = did_you_mean(config.modality, modalities.names())
        yield ConfigError(
            "there is no such modality", where="pretraining.modality", found=config.modality, fix=fix
        )
        return
    options = modalities.load(config.modality, "settings").Pretraining
    try:
        from_dict(options, config.trunk, "pretraining.trunk")
    except ConfigErrors as error:
        yield from error.errors
    for name, options in config.objective.items():
        where = f"pretraining.objective.{name}"
        own = dict(options) if isinstance(options, Mapping) else options
        weight = own.pop("weight", 1.0) if isinstance(own, dict) else 1.0
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < float("inf"):
            yield ConfigError("a weight is a number above 0", where=f"{where}.weight", found=repr(weight))
        yield from _plugin(OBJECTIVES, name, own, where)
    yield from _plugin(
        LAUNCHERS, config.launcher, config.launch, "pretraining.launcher", "pretraining.launch"
    )


def _promotion(config: Any) -> Errors:
    for name, options in getattr(config, "rules", {}).items():
        yield from _plugin(RULES, name, options, f"promotion.rules.{name}")


def _finetuning(config: Any, where: str) -> Errors:
    for split in ("train", "test"):
        labelled = getattr(config, split)
        if labelled is None:
            continue
        yield from _source(labelled.source, f"{where}.{split}.source")
        yield from _format(labelled.format, f"{where}.{split}.format")


def _compressions(config: Any, where: str) -> Errors:
    """Packages that a laptop lacks; the image of evaluation may have what that of preflight has not."""
    for name in config.compress if not os.environ.get("KUBERNETES_SERVICE_HOST") else ():
        if lacking := compressions.lacking(plugins.declared(COMPRESSIONS, name).constants):
            what = f"packages of the compression '{name}' are not installed"
            found, fix = ", ".join(lacking), "make setup, or leave it out"
            yield ConfigError(what, where=where, found=found, fix=fix)


def _source(uri: str, where: str) -> Errors:
    try:
        sources.check(uri)
    except TrunklineError as error:
        error.where = where
        error.found = error.found or uri
        yield error


def _format(name: str, where: str) -> Errors:
    if name != "auto":
        yield from _plugin(FORMATS, name, None, where)


def _plugin(package: str, name: str, options: Any, where: str, where_options: str = "") -> Errors:
    """That the plugin exists and that its `Config`, if it has one, takes the options; None: not asked."""
    try:
        plugin = plugins.declared(package, name)
        if options is not None and not isinstance(options, Mapping):
            raise ConfigError("the options of a plugin are a mapping", found=repr(options))
        if options is not None and plugin.config is not None:
            from_dict(plugin.config, options, where_options or where)
    except ConfigErrors as error:
        yield from error.errors
    except ConfigError as error:
        error.where = where
        yield error
