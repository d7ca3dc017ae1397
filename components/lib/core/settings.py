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

from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError

T = TypeVar("T")


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


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Builds `cls` from `values`; calls its `check()`, if it has one, for what spans several fields.

    Whole floats become ints for int fields, because KFP sends the ints of a dict as floats.

    Raises:
        ConfigErrors: with every unknown key, wrong type and illegal value found.
    """
    errors: list[TrunklineError] = []
    built = _build(cls, values, where, errors)
    if not errors and hasattr(built, "check"):
        errors.extend(built.check())
    if errors:
        raise ConfigErrors(errors)
    return typing.cast(T, built)


def to_dict(config: Any) -> dict[str, Any]:
    """JSON types that `from_dict` turns back into an equal object."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A sentence that lists what is known, with the nearest match first if there is one."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    listing = "known: " + ", ".join(known) if known else "there are none"
    return f"did you mean '{close[0]}'? {listing}" if close else listing


def _build(cls: type[Any], values: Any, where: str, errors: list[TrunklineError]) -> Any:
    if not isinstance(values, Mapping):
        errors.append(ConfigError("a section of settings is expected", where=where, found=values))
        return None
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            fix = did_you_mean(str(key), sorted(fields))
            errors.append(ConfigError(f"unknown setting '{key}'", where=_join(where, str(key)), fix=fix))
    arguments = {}
    for name, field in fields.items():
        path = _join(where, name)
        if name in values:
            arguments[name] = _convert(hints[name], values[name], path, errors)
            _check_range(field, arguments[name], path, errors)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            help_text = field.metadata.get("help", "")
            errors.append(ConfigError(f"setting '{name}' is required", where=path, expected=help_text))
    return None if errors else cls(**arguments)


def _convert(kind: Any, value: Any, where: str, errors: list[TrunklineError]) -> Any:
    """`value` as `kind`; what does not fit is reported in `errors` and returned as it is."""
    origin, parameters = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parameters:
            return None
        return _convert(next(p for p in parameters if p is not type(None)), value, where, errors)
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where, errors)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(parameters[0], v, f"{where}[{i}]", errors) for i, v in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        # In one order, whatever the caller's: a mapping that passes through KFP comes out in any order.
        items = [(str(key), value[key]) for key in sorted(value, key=str)]
        return {key: _convert(parameters[1], item, _join(where, key), errors) for key, item in items}
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
