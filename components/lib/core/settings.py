"""Settings as strict frozen dataclasses: a dict in, a checked object or every error at once out."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from components.lib.core.errors import ConfigError, ConfigErrors, InternalError, TrunklineError

# Bytes of a parameter of a stage: it travels in one word of a command, of which Linux takes 128 KiB.
ARGUMENT = 125_000

T = TypeVar("T")
Parts = Mapping[str, type[Any] | Mapping[str, str]]


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] = (),
) -> Any:
    """A dataclass field with its description and its legal values (bounds are inclusive)."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "choices": tuple(choices)}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def part() -> Any:
    """A field for what a plugin adds; its settings stand among those of the dataclass (see `from_dict`)."""
    return dataclasses.field(default=None, metadata={"part": True})


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "", parts: Parts | None = None) -> T:
    """Builds `cls` from `values`; calls its `check()`, if it has one, for what spans several fields.

    Whole floats become ints for int fields, because KFP sends the ints of a dict as floats.

    Args:
        cls: a frozen dataclass of `setting` fields.
        values: setting -> value, in JSON types.
        where: dotted path of the section, for messages.
        parts: field made by `part()`, here or in a dataclass within -> the dataclass of its settings, or a
            mapping of name -> default where the settings are names. `to_dict` flattens parts again.

    Raises:
        ConfigErrors: with every unknown key, wrong type and illegal value found.
    """
    errors: list[TrunklineError] = []
    built = _build(cls, values, where, errors, parts or {})
    if not errors and hasattr(built, "check"):
        errors.extend(built.check())
    if errors:
        raise ConfigErrors(errors)
    return typing.cast(T, built)


def to_dict(config: Any) -> dict[str, Any]:
    """JSON types that `from_dict` turns back into an equal object."""
    plain: dict[str, Any] = json.loads(json.dumps(_plain(config)))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = _plain(getattr(value, field.name))
        found |= (item or {}) if field.metadata.get("part") else {field.name: item}
    return found


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A sentence that lists what is known, with the nearest match first if there is one."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    listing = "known: " + ", ".join(known) if known else "there are none"
    return f"did you mean '{close[0]}'? {listing}" if close else listing


def _build(cls: type[Any], values: Any, where: str, errors: list[TrunklineError], parts: Parts) -> Any:
    if not isinstance(values, Mapping):
        errors.append(ConfigError("a section of settings is expected", where=where, found=values))
        return None
    hints = typing.get_type_hints(cls)
    every = {field.name: field for field in dataclasses.fields(cls)}
    added = {name: parts.get(name) or {} for name, field in every.items() if field.metadata.get("part")}
    fields = {name: field for name, field in every.items() if name not in added}
    known = [*fields, *(name for kind in added.values() for name in _names(kind))]
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        raise InternalError("a plugin has a setting of a name that is taken", where=where, found=twice)
    for key in (str(key) for key in values if key not in known):
        fix = did_you_mean(key, sorted(known))
        errors.append(ConfigError(f"unknown setting '{key}'", where=_join(where, key), fix=fix))
    arguments = {}
    for name, field in fields.items():
        path = _join(where, name)
        if name in values:
            arguments[name] = _convert(hints[name], values[name], path, errors, parts)
            _check_range(field, arguments[name], path, errors)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            help_text = field.metadata.get("help", "")
            errors.append(ConfigError(f"setting '{name}' is required", where=path, expected=help_text))
    for name, kind in added.items():
        own = {key: values[key] for key in _names(kind) if key in values}
        arguments[name] = _part(kind, own, where, errors, parts)
    return None if errors else cls(**arguments)


def _part(kind: Any, own: dict[str, Any], where: str, errors: list[TrunklineError], parts: Parts) -> Any:
    if isinstance(kind, Mapping):
        return {**kind, **_convert(dict[str, str], own, where, errors, parts)}
    built = _build(kind, own, where, errors, parts)
    if built is not None and hasattr(built, "check"):
        errors.extend(built.check())
    return built


def _names(kind: Any) -> list[str]:
    """The settings of a part."""
    return list(kind) if isinstance(kind, Mapping) else [field.name for field in dataclasses.fields(kind)]


def _convert(kind: Any, value: Any, where: str, errors: list[TrunklineError], parts: Parts) -> Any:
    """`value` as `kind`; what does not fit is reported in `errors` and returned as it is."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(p for p in arguments if p is not type(None)), value, where, errors, parts)
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where, errors, parts)
    if origin is tuple and isinstance(value, list | tuple):
        each = enumerate(value)
        return tuple(_convert(arguments[0], item, f"{where}[{i}]", errors, parts) for i, item in each)
    if origin is dict and isinstance(value, Mapping):
        # In one order, whatever the caller's: a mapping that passes through KFP comes out in any order.
        items = [(str(key), value[key]) for key in sorted(value, key=str)]
        return {key: _convert(arguments[1], item, _join(where, key), errors, parts) for key, item in items}
    if kind in (bool, str) and isinstance(value, kind):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (kind is float and number) or (kind is int and number and value == value // 1):
        return kind(value)
    expected = {tuple: "a list", dict: "a mapping"}.get(origin or kind, getattr(kind, "__name__", str(kind)))
    errors.append(
        ConfigError("a setting has the wrong type", where=where, found=repr(value), expected=expected)
    )
    return value


def _check_range(field: Any, value: Any, where: str, errors: list[TrunklineError]) -> None:
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    choices = field.metadata.get("choices")
    for item in value if isinstance(value, tuple) else (value,):
        if choices and item is not None and item not in choices:
            expected = ", ".join(map(str, choices))
            errors.append(
                ConfigError("a setting has an unknown value", where=where, found=item, expected=expected)
            )
        if not isinstance(item, int | float) or isinstance(item, bool):
            continue
        too_low, too_high = low is not None and item < low, high is not None and item > high
        if math.isnan(item) or math.isinf(item) or too_low or too_high:
            bounds = f"{'' if low is None else f'>= {low}'} {'' if high is None else f'<= {high}'}".strip()
            errors.append(
                ConfigError("a setting is out of range", where=where, found=item, expected=bounds or "finite")
            )


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
