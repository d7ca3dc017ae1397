"""Preset + overrides -> one mapping of settings, and the item of each task; checks nothing but form."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from components.lib.core.errors import ConfigError, DataError, TrunklineError
from components.lib.core.settings import did_you_mean

STAGE_SECTIONS = ("ingestion", "tokenization", "pretraining", "registration", "promotion")
TASK_SECTIONS = ("finetuning", "evaluation")
SECTIONS = ("modality", *STAGE_SECTIONS, *TASK_SECTIONS, "tasks")
TASK_KEYS = ("name", "kind", "train", "test", "slices", *TASK_SECTIONS)
_TASK_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-3` is a number, the key `on` a name, and one that stands twice an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                problem=f"'{min(twice)}' stands twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
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


def presets() -> dict[str, Path]:
    """The presets that exist, by name: of the folders in `TRUNKLINE_PRESETS`, of which the first one wins."""
    root = Path(__file__).resolve().parents[2]
    folders = os.environ.get("TRUNKLINE_PRESETS") or str(root / "pipelines" / "presets")
    paths = [path for folder in folders.split(os.pathsep) for path in sorted(Path(folder).glob("*.yaml"))]
    return dict(sorted({path.stem: path for path in reversed(paths)}.items()))


def load(preset: str) -> dict[str, Any]:
    """A preset as it is written; raises ConfigError that lists the presets if there is no such one."""
    known = presets()
    if preset not in known:
        where = os.environ.get("TRUNKLINE_PRESETS", "pipelines/presets")
        fix = did_you_mean(preset, sorted(known))
        raise ConfigError("there is no such preset", where=where, found=preset, fix=fix)
    path = known[preset]
    try:
        values = parse(path.read_text(encoding="utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise DataError("a preset is not UTF-8", where=str(path), found=str(error)) from error
    if not isinstance(values, dict):
        raise ConfigError("a preset is a mapping of sections", where=path.name, found=values)
    return values


def merge(values: Mapping[str, Any], overrides: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """`values` with `overrides` in it.

    A mapping is merged into the one that stands there. A dotted key replaces what stands at its end, so that
    `{"pretraining.objective": {"masked_lm": {}}}` leaves no other objective. Tasks are reached by their name,
    `{"tasks.topics.finetuning.steps": 10}`, and chosen by it: `{"tasks": ["topics"]}`. Shorter keys come
    first, whatever the order of `overrides`: the parameters of a pipeline do not keep it.

    Raises:
        ConfigError: if a key leads into a plain value, or to a task that does not exist.
    """
    merged = dict(values)
    for key, value in sorted(overrides.items(), key=lambda item: str(item[0]).count(".")):
        first, dot, rest = str(key).partition(".")
        place = f"{where}.{first}" if where else first
        merged[first] = (
            _below(merged.get(first), rest, value, place) if dot else _in(merged, first, value, place)
        )
    return merged


def _in(values: Mapping[str, Any], key: str, value: Any, where: str) -> Any:
    """What `key` becomes when it is given `value`."""
    current = values.get(key)
    if isinstance(value, Mapping) and isinstance(current, Mapping):
        return merge(current, value, where)
    if not _named(current):
        return value
    if isinstance(value, Mapping):
        items = {name: merge(_item(current, name, where), value[name], f"{where}.{name}") for name in value}
        return [items.get(item["name"], item) for item in current]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return [_item(current, name, where) for name in value]
    return value


def _below(current: Any, path: str, value: Any, where: str) -> Any:
    """`current` with `value` at the dotted `path` below it."""
    first, dot, rest = path.partition(".")
    place = f"{where}.{first}"
    if _named(current):
        chosen = _item(current, first, where)
        changed = _below(chosen, rest, value, place) if dot else value
        return [changed if item is chosen else item for item in current]
    if current is not None and not isinstance(current, Mapping):
        raise ConfigError("an override leads into a plain value", where=place, found=repr(current))
    below = dict(current or {})
    below[first] = _below(below.get(first), rest, value, place) if dot else value
    return below


def _named(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether it is a list of items that have names: tasks."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, Mapping) and "name" in item for item in value)


def _item(items: list[dict[str, Any]], name: str, where: str) -> dict[str, Any]:
    found = [item for item in items if item["name"] == name]
    if not found:
        fix = did_you_mean(name, [str(item["name"]) for item in items])
        raise ConfigError(f"there is no '{name}' in {where}", where=where, found=name, fix=fix)
    return found[0]


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
    own = {key: task[key] for key in ("kind", "train", "test", "slices") if key in task}
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
