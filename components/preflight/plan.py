"""Settings of a run, resolved and checked against every stage's `Config`: all errors in one report."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError, collected
from components.lib.core.settings import did_you_mean, from_dict, to_dict
from components.preflight import consistency, references, settings


@dataclass(frozen=True)
class Plan:
    """Checked settings.

    Attributes:
        stages: stage -> its settings, complete with defaults and derived values.
        tasks: one `{"name", "finetuning", "evaluation"}` a downstream task.
        warnings: what is told and stops nothing.
    """

    stages: dict[str, dict[str, Any]]
    tasks: list[dict[str, Any]]
    warnings: tuple[TrunklineError, ...] = ()


def resolve(preset: str, overrides: Mapping[str, Any]) -> Plan:
    """The plan of a preset with overrides.

    Raises:
        ConfigErrors: with everything that is wrong, whichever section it is in.
    """
    if not isinstance(overrides, Mapping):
        raise ConfigError("overrides are a mapping of settings", where="overrides", found=repr(overrides))
    with collected() as errors:
        values = _sections(settings.merge(settings.load(preset), overrides), errors)
        items = settings.tasks(values, errors)
        _derive(values, items, _modality(values))
        checked = {name: _checked(name, values[name], name, errors) for name in settings.STAGE_SECTIONS}
        configs = [_task_configs(item, errors) for item in items]
        errors.extend(references.check(checked, configs))
        errors.extend(consistency.check(checked, configs))
    stages = {name: to_dict(config) for name, config in checked.items()}
    warnings = tuple(consistency.warnings(checked["pretraining"]))
    return Plan(stages, [_plain(item) for item in configs], warnings)


def _sections(values: Mapping[str, Any], errors: list[TrunklineError]) -> dict[str, Any]:
    """Every section as a mapping, empty where it is left out."""
    errors.extend(settings.unknown(values, settings.SECTIONS))
    sections: dict[str, Any] = {name: values.get(name) for name in ("modality", "tasks")}
    for name in (*settings.STAGE_SECTIONS, *settings.TASK_SECTIONS):
        given = values.get(name) or {}
        if not isinstance(given, Mapping):
            errors.append(ConfigError("a section of settings is expected", where=name, found=repr(given)))
            given = {}
        sections[name] = dict(given)
    return sections


def _modality(values: Mapping[str, Any]) -> str:
    """The run's kind of data; raises ConfigErrors, as settings cannot be checked without it."""
    where = "modality" if values.get("modality") else "pretraining.modality"
    name = values.get("modality") or values["pretraining"].get("modality", "text")
    known = plugins.names(references.MODALITIES)
    if name not in known:
        fix = did_you_mean(str(name), known)
        raise ConfigErrors([ConfigError("there is no such modality", where=where, found=name, fix=fix)])
    return str(name)


def _derive(values: dict[str, Any], items: list[dict[str, Any]], modality: str) -> None:
    """Fills what follows from other sections and was not said.

    Every section has the run's modality; the test sets are kept out of the corpus; a branch is registered
    as `<trunk>-<task>`.
    """
    for section in ("ingestion", "tokenization", "pretraining"):
        values[section].setdefault("modality", modality)
    for item in items:
        item["finetuning"].setdefault("modality", modality)
    tests = [item["finetuning"].get("test") for item in items]
    known = {entry.name for entry in fields(_settings("ingestion", modality, "Evaluation"))}
    kept_out = [
        {key: test[key] for key in test if key in known} for test in tests if isinstance(test, Mapping)
    ]
    distinct = [entry for number, entry in enumerate(kept_out) if entry not in kept_out[:number]]
    values["ingestion"].setdefault("decontaminate", distinct)
    for item in items:
        item["evaluation"].setdefault(
            "model", f"{values['registration'].get('name', 'trunkline')}-{item['name']}"
        )


def _settings(stage: str, modality: str, name: str = "Config") -> Any:
    """A class of a stage's settings: the modality's, where the stage has settings of its own for each."""
    package = f"components.{stage}.modalities"
    if importlib.util.find_spec(package) is None or plugins.declared(package, modality).config is None:
        return getattr(importlib.import_module(f"components.{stage}.config"), name)
    return getattr(plugins.load(package, modality), name)


def _checked(stage: str, values: Mapping[str, Any], where: str, errors: list[TrunklineError]) -> Any:
    """The stage's `Config`; what is wrong goes to `errors`; defaults then stand in for it."""
    config = _settings(stage, str(values.get("modality", "text")))
    left = dict(values)
    while True:
        try:
            return from_dict(config, left, where)
        except ConfigErrors as error:
            errors.extend(found for found in error.errors if str(found) not in map(str, errors))
            wrong = {part for found in error.errors for part in re.split(r"[.\[]", found.where)} & left.keys()
        if not wrong:  # a required setting is missing
            return None
        left = {key: value for key, value in left.items() if key not in wrong}


def _task_configs(item: dict[str, Any], errors: list[TrunklineError]) -> dict[str, Any]:
    configs = {
        name: _checked(name, item[name], f"tasks.{item['name']}.{name}", errors)
        for name in settings.TASK_SECTIONS
    }
    return {"name": item["name"], **configs}


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {"name": item["name"], **{name: to_dict(item[name]) for name in settings.TASK_SECTIONS}}
