"""Preset + overrides -> one mapping of settings, and the item of each task; checks nothing but form."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from components.lib.config import did_you_mean
from components.lib.errors import ConfigError, DataError, TrunklineError

STAGE_SECTIONS = ("ingestion", "tokenization", "pretraining", "registration", "promotion")
TASK_SECTIONS = ("finetuning", "evaluation")
SECTIONS = (*STAGE_SECTIONS, *TASK_SECTIONS, "tasks")
TASK_KEYS = ("name", "kind", "train", "test", *TASK_SECTIONS)
_TASK_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-3` is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                problem=f"'{min(twice)}' stands twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def parse(text: str, where: str) -> Any:
    """The value that YAML text stands for; raises ConfigError with the line where it cannot be read."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        found = str(getattr(error, "problem", error))
        raise ConfigError("settings cannot be read as YAML", where=place, found=found) from error


def folder() -> Path:
    """Where presets live: `TRUNKLINE_PRESETS`, or the checkout's `pipelines/presets`."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("TRUNKLINE_PRESETS") or root / "pipelines" / "presets")


def presets() -> list[str]:
    """Names of the presets that exist, sorted."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(preset: str) -> dict[str, Any]:
    """A preset as it is written; raises ConfigError that lists the presets if there is no such one."""
    path = folder() / f"{preset}.yaml"
    if preset not in presets():
        raise ConfigError(
            "there is no such preset",
            where=str(path.parent),
            found=preset,
            fix=did_you_mean(preset, presets()),
        )
    try:
        values = parse(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise DataError("a preset is not UTF-8", where=str(path), found=str(error)) from error
    if not isinstance(values, dict):
        raise ConfigError("a preset is a mapping of sections", where=path.name, found=values)
    return values


def merge(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `overrides` in it.

    A mapping is merged into the one that stands there. A dotted key replaces what stands at its end, so that
    `{"pretraining.objective": {"masked_lm": {}}}` leaves no other objective. The items of a list (tasks) are
    reached by their name: `{"tasks.topics.finetuning.steps": 10}`.

    Raises:
        ConfigError: if a dotted key leads through something that is not a mapping.
    """
    merged = dict(values)
    for key, value in overrides.items():
        first, dot, rest = str(key).partition(".")
        if dot:
            merged[first] = _replace(merged.get(first), rest, value, first)
        elif isinstance(value, Mapping) and isinstance(merged.get(first), Mapping):
            merged[first] = merge(merged[first], value)
        elif isinstance(value, Mapping) and isinstance(merged.get(first), list):
            merged[first] = [_merge_item(item, value) for item in _known(merged[first], value, first)]
        else:
            merged[first] = value
    return merged


def _replace(current: Any, path: str, value: Any, where: str) -> Any:
    """`current` with `value` at the dotted `path` below it."""
    first, dot, rest = path.partition(".")
    if isinstance(current, list):
        _known(current, {first: None}, where)
        return [
            (_replace(item, rest, value, f"{where}.{first}") if dot else value)
            if isinstance(item, Mapping) and item.get("name") == first
            else item
            for item in current
        ]
    if current is not None and not isinstance(current, Mapping):
        raise ConfigError(
            "an override leads into a plain value", where=f"{where}.{path}", found=repr(current)
        )
    below = dict(current or {})
    below[first] = _replace(below.get(first), rest, value, f"{where}.{first}") if dot else value
    return below


def _merge_item(item: Any, changes: Mapping[str, Any]) -> Any:
    change = changes.get(str(item.get("name"))) if isinstance(item, Mapping) else None
    return merge(item, change) if isinstance(change, Mapping) else item


def _known(items: list[Any], wanted: Iterable[str], where: str) -> list[Any]:
    """`items`, after a look whether each wanted name is there."""
    names = [str(item.get("name")) for item in items if isinstance(item, Mapping)]
    for name in wanted:
        if name not in names:
            raise ConfigError(f"there is no '{name}' in {where}", where=where, fix=did_you_mean(name, names))
    return items


def tasks(values: Mapping[str, Any], errors: list[TrunklineError]) -> list[dict[str, Any]]:
    """The item of each task, with the sections `finetuning` and `evaluation` as its defaults.

    Returns:
        `{"name", "finetuning": {...}, "evaluation": {...}}` a task, unchecked; what has not the form of a
        task is reported in `errors` and left out.
    """
    given = values.get("tasks") or []
    if not isinstance(given, list):
        errors.append(ConfigError("a list of tasks is expected", where="tasks", found=repr(given)))
        return []
    items: list[dict[str, Any]] = []
    for index, task in enumerate(given):
        where = f"tasks[{index}]"
        if not isinstance(task, Mapping):
            errors.append(ConfigError("a task is a mapping", where=where, found=repr(task)))
            continue
        name = str(task.get("name", ""))
        if not _TASK_NAME.fullmatch(name) or name in [item["name"] for item in items]:
            expected = "a name of its own: lower-case letters, digits and '-'"
            errors.append(ConfigError("a task's name is wrong", where=where, found=name, expected=expected))
            continue
        errors.extend(unknown(task, TASK_KEYS, f"tasks.{name}"))
        items.append(_task(name, task, values))
    return items


def _task(name: str, task: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: task[key] for key in ("kind", "train", "test") if key in task}
    sections = {
        section: merge(values.get(section) or {}, task.get(section) or {}) for section in TASK_SECTIONS
    }
    finetuning = {**sections["finetuning"], **own, "task": name}
    return {"name": name, "finetuning": finetuning, "evaluation": sections["evaluation"]}


def unknown(values: Mapping[str, Any], known: Iterable[str], where: str = "") -> list[TrunklineError]:
    """An error for each key that is not known, with the nearest one that is."""
    names = sorted(known)
    return [
        ConfigError(
            f"unknown setting '{key}'",
            where=f"{where}.{key}" if where else str(key),
            fix=did_you_mean(str(key), names),
        )
        for key in values
        if key not in names
    ]
