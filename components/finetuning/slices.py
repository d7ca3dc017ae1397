"""Slices of the test split: by a field of its records, as a language or a source, or by length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import MissingError
from components.lib.data.formats import Record
from components.lib.tasks import LENGTH

MOST = 20  # values of a field that are told apart
NONE = "(none)"  # of a record without a value
LONGEST = 60  # characters of a value


class Collected:
    """Values of each slice, one an example.

    Attributes:
        values: field -> a text, or for LENGTH a number, of each example.
        lacking: field -> the error of a record without it, as long as no record had it.
    """

    def __init__(self, fields: tuple[str, ...], reader: Any) -> None:
        self.values: dict[str, list[Any]] = {name: [] for name in fields}
        self.lacking: dict[str, MissingError | None] = {}
        self.reader = reader

    def add(self, record: Record, inputs: Mapping[str, Any]) -> None:
        """Of one more example."""
        for name, values in self.values.items():
            if name == LENGTH:
                values.append(float(self.reader.extent(inputs)))
                continue
            try:
                values.append(_text(record.required(name)))
                self.lacking[name] = None
            except MissingError as error:
                self.lacking.setdefault(name, error)
                values.append(NONE)

    def check(self, where: str) -> None:
        """Raises MissingError if no record has a field that is asked for."""
        for name, error in self.lacking.items():
            if error is not None:
                error.where = f"{where}, slices: {name}"
                raise error


def _text(value: Any) -> str:
    """A number is its shortest text, 7 for 7.0 too."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split())[:LONGEST] or NONE


def notices(values: Mapping[str, list[Any]]) -> list[str]:
    """What is told of the slices: a field with more values than are told apart."""
    found = {name: len(set(each)) for name, each in values.items() if name != LENGTH}
    what = f"the {MOST} with the most examples are slices, the others one together"
    return [f"slices: '{name}' has {count:,} values: {what}" for name, count in found.items() if count > MOST]
