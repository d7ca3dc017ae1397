"""Settings of a run, resolved and checked against every stage's `Config`: all errors in one report."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.config import from_dict, to_dict
from components.lib.errors import ConfigError, ConfigErrors, TrunklineError, collected
from components.preflight import consistency, references, settings


@dataclass(frozen=True)
class Plan:
    """Checked settings.

    Attributes:
        stages: stage -> its settings, complete with defaults and derived values.
        tasks: one `{"name", "finetuning", "evaluation"}` a downstream task.
    """

    stages: dict[str, dict[str, Any]]
    tasks: list[dict[str, Any]]


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
        _derive(values, items)
        checked = {name: _checked(name, values[name], name, errors) for name in settings.STAGE_SECTIONS}
        configs = [_task_configs(item, errors) for item in items]
        errors.extend(references.check(checked, configs))
        errors.extend(consistency.check(checked, configs))
    stages = {name: to_dict(config) for name, config in checked.items()}
    return Plan(stages, [_plain(item) for item in configs])


def _sections(values: Mapping[str, Any], errors: list[TrunklineError]) -> dict[str, Any]:
    """Every section as a mapping, empty where it is left out."""
    errors.extend(settings.unknown(values, settings.SECTIONS))
    sections: dict[str, Any] = {"tasks": values.get("tasks")}
    for name in (*settings.STAGE_SECTIONS, *settings.TASK_SECTIONS):
        given = values.get(name) or {}
        if not isinstance(given, Mapping):
            errors.append(ConfigError("a section of settings is expected", where=name, found=repr(given)))
            given = {}
        sections[name] = dict(given)
    return sections


def _derive(values: dict[str, Any], items: list[dict[str, Any]]) -> None:
    """Fills what follows from other sections and was not said.

    The test sets are kept out of the corpus; a branch is registered as `<trunk>-<task>`.
    """
    tests = [item["finetuning"].get("test") for item in items]
    known = ("source", "format", "text")
    kept_out = [
        {key: test[key] for key in known if key in test} for test in tests if isinstance(test, Mapping)
    ]
    values["ingestion"].setdefault("decontaminate", kept_out)
    for item in items:
        item["evaluation"].setdefault(
            "model", f"{values['registration'].get('name', 'trunkline')}-{item['name']}"
        )


def _checked(stage: str, values: Mapping[str, Any], where: str, errors: list[TrunklineError]) -> Any:
    """The stage's `Config`; what is wrong goes to `errors`; defaults then stand in for it."""
    config = importlib.import_module(f"components.{stage}.config").Config
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
