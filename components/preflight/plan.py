"""Settings of a run, resolved and checked against every stage's `Config`: all errors in one report."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.lib import modalities
from components.lib.core import plugins
from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError, collected
from components.lib.core.settings import ARGUMENT, did_you_mean, from_dict, to_dict
from components.lib.storage.artifacts import Manifest
from components.preflight import consistency, references, settings

PUBLIC = "public"  # stage of published weights in the store, and the start that they are
TASKS = "components.lib.tasks"
# Of a run: promotion gets the evaluation of each in one word of a command, some 560 bytes in Kubeflow's JSON.
MANY = 200
EVALUATION = ("source", "format", "format_options", "share", "group")  # of a test set, for ingestion


@dataclass(frozen=True)
class Plan:
    """Checked settings.

    Attributes:
        stages: stage -> its settings, complete with defaults and derived values.
        tasks: one `{"name", "finetuning", "evaluation"}` a downstream task.
        warnings: what is told and stops nothing.
        checked: stage -> its `Config`, and those of the tasks.
    """

    stages: dict[str, dict[str, Any]]
    tasks: list[dict[str, Any]]
    warnings: tuple[TrunklineError, ...] = ()
    checked: tuple[dict[str, Any], list[dict[str, Any]]] = ({}, [])

    @property
    def start(self) -> str:
        """Reference of what pre-training starts from; empty: random weights."""
        return str(self.stages["pretraining"]["start"])

    def compare(self, start: Manifest) -> None:
        """Tasks that name no starts are also learnt from the published weights that the trunk comes from.

        Not if it is them.
        """
        config = self.stages["pretraining"]
        trained = config["steps"] or config["minutes"]
        if not trained or not (start.key.stage == PUBLIC or "public" in start.facts):
            return
        fields = dataclasses.fields(_configuration("finetuning").Config)
        usual: Any = {field.name: field.default for field in fields}["starts"]
        for task in self.tasks:
            if tuple(task["finetuning"]["starts"]) == tuple(usual):
                task["finetuning"]["starts"] = [*usual, "public"]

    def fits(self, published: Mapping[str, Any]) -> None:
        """Raises ConfigErrors for what cannot be done with published weights, of these facts."""
        with collected() as errors:
            errors.extend(consistency.check(*self.checked, published))


def fits(parameters: Mapping[str, Any]) -> None:
    """Raises ConfigError for parameters that are too long: KFP's root driver dies of them unheard."""
    if (size := len(json.dumps(parameters))) > ARGUMENT:
        what = "the settings of the run are too long for Kubeflow, which hands them on in a command"
        fix = "name a folder or a pattern such as s3://bucket/texts/*.jsonl, or put them into a preset: on a "
        fix += "cluster into `presets` of the chart's values"
        expected = f"at most {ARGUMENT:,} characters"
        raise ConfigError(what, where="overrides", found=f"{size:,}", expected=expected, fix=fix)


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
        if len(items) > MANY:
            what, fix = (
                "a run has too many tasks for Kubeflow",
                "share them out over runs of PIPELINE=finetuning",
            )
            expected = f"at most {MANY}"
            errors.append(ConfigError(what, where="tasks", found=len(items), expected=expected, fix=fix))
    stages = {name: to_dict(config) for name, config in checked.items()}
    warnings = tuple(consistency.warnings(checked["pretraining"]))
    return Plan(stages, [_plain(item) for item in configs], warnings, (checked, configs))


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
    name, known = values.get("modality") or values["pretraining"].get("modality"), modalities.names()
    if name in known:
        return str(name)
    what = "there is no such modality" if name else "a run names its kind of data"
    fix = (
        did_you_mean(str(name), known) if name else f"add `modality: {known[-1]}`; known: {', '.join(known)}"
    )
    raise ConfigErrors([ConfigError(what, where="modality", found=name, fix=fix)])


def _derive(values: dict[str, Any], items: list[dict[str, Any]], modality: str) -> None:
    """Fills what follows from other sections and was not said.

    Every section has the run's modality; the test sets are kept out of the corpus; a branch is registered
    as `<trunk>-<task>`.
    """
    for section in ("ingestion", "tokenization", "pretraining"):
        values[section].setdefault("modality", modality)
    kept_out: list[dict[str, Any]] = []
    for item in items:
        item["finetuning"].setdefault("modality", _reader(modality, item["finetuning"]))
        test = item["finetuning"].get("test")
        if isinstance(test, Mapping):
            for fields in _documents(str(item["finetuning"].get("kind", "")), test, modality):
                entry = {**{name: test[name] for name in EVALUATION if name in test}, **fields}
                kept_out += [entry] if entry not in kept_out else []
    values["ingestion"].setdefault("decontaminate", kept_out)
    for item in items:
        item["evaluation"].setdefault(
            "model", f"{values['registration'].get('name', 'trunkline')}-{item['name']}"
        )


def _documents(kind: str, test: Mapping[str, Any], modality: str) -> list[dict[str, Any]]:
    """The fields of a test set that could stand in a corpus: those of the task's CORPUS, one by one."""
    names = list(modalities.load(modality).FIELDS)
    says = plugins.declared(TASKS, kind).constants if kind in plugins.names(TASKS) else {}
    if roles := says.get("CORPUS"):
        return [{names[0]: test.get(role, says["ROLES"][role])} for role in roles]
    return [{name: test[name] for name in names if name in test}]


def _reader(modality: str, finetuning: Mapping[str, Any]) -> str:
    """The modality of a task's branch: the run's, or the part of it that does what the task needs."""
    task = references.declared(
        references.TASKS, str(finetuning.get("kind") or modalities.load(modality).TASK)
    )
    return modality if task is None else modalities.reads(modality, task.constants["NEEDS"])


def _configuration(stage: str) -> Any:
    return importlib.import_module(f"components.{stage}.config")


def _checked(stage: str, values: Mapping[str, Any], where: str, errors: list[TrunklineError]) -> Any:
    """The stage's `Config`; what is wrong goes to `errors`; defaults then stand in for it."""
    module = _configuration(stage)
    make = getattr(module, "configured", None) or partial(from_dict, module.Config)
    left = dict(values)
    while True:
        try:
            return make(left, where)
        except ConfigErrors as error:
            errors.extend(found for found in error.errors if str(found) not in map(str, errors))
            wrong = {part for found in error.errors for part in re.split(r"[.\[]", found.where)} & left.keys()
        except (
            ConfigError
        ) as error:  # a plugin that does not exist: nothing else of the section can be checked
            error.where = error.where or where
            errors.append(error)
            return None
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
    """As JSON, without what is None, and so left out: items of a loop in KFP cannot hold a null."""
    sections = {name: to_dict(item[name]) for name in settings.TASK_SECTIONS}
    told = {name: {k: v for k, v in one.items() if v is not None} for name, one in sections.items()}
    return {"name": item["name"], **told}
