"""Columns of numbers: which of a record's are meant, and their values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from components.lib.core.errors import DataError

FILE = "vectors.json"


def named(fields: Mapping[str, Any], names: str, without: Collection[str] = ()) -> list[str]:
    """The columns that names or patterns (`age, x*`) mean, sorted; patterns leave text and `without` out."""
    patterns = [pattern.strip() for pattern in names.split(",")]
    plain = {name for name in patterns if not any(sign in name for sign in "*?[")}
    matched = {
        name
        for name, value in fields.items()
        if name not in without and not isinstance(number(value), str)
        for pattern in patterns
        if fnmatchcase(name, pattern)
    }
    return sorted(plain | matched)


def number(value: Any) -> float | str | None:
    """A value of a record as a number; None where it is missing, a text where it is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool):
        return str(value)
    try:
        found = float(value)
    except (TypeError, ValueError):
        return str(value)
    return found if math.isfinite(found) else None


def values(fields: Mapping[str, Any], columns: Sequence[str]) -> list[float]:
    """The numbers of a record in these columns; raises DataError that names one without a number."""
    found = []
    for name in columns:
        value = number(fields.get(name))
        if not isinstance(value, float):
            raise DataError(
                f"'{name}' is not a number", found=repr(fields.get(name)), expected="a finite number"
            )
        found.append(value)
    return found


def identity(row: Sequence[float]) -> bytes:
    """16 bytes of the hash of a row."""
    return hashlib.sha256(np.asarray(row, "<f8").tobytes()).digest()[:16]


@dataclass(frozen=True)
class Scaling:
    """What a trunk reads: `columns`, and their mean and deviation in the training split of its corpus."""

    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def scaled(self, rows: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(n, columns) numbers with mean 0 and deviation 1, in fp32."""
        table = np.asarray(rows, np.float64).reshape(-1, len(self.columns))
        return ((table - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes the file that stands with a trunk's weights."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def parse(cls, data: bytes) -> Scaling:
        """From the content of that file."""
        return cls(**{name: tuple(value) for name, value in json.loads(data).items()})
