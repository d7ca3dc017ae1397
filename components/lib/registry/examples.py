"""Stored examples of a registered model: a question of MLflow's protocol and what evaluation was answered."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

FILE = "examples.json"  # beside MLmodel, pinned as the weights are
RELATIVE, ABSOLUTE = 1e-2, 2e-3  # what another kind of processor may answer otherwise


class Examples(NamedTuple):
    """`question` as a client sends it, and one prediction for each of its inputs."""

    question: dict[str, Any]
    predictions: list[Any]


def read(folder: Path) -> Examples | None:
    """Those of an MLflow model; None if it has none, as a bare trunk."""
    path = folder / FILE
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Examples(found["question"], found["predictions"]) if found["predictions"] else None


def difference(expected: Any, answered: Any, place: str = "predictions") -> str:
    """Where two answers differ, in words; "" if they are the same but for rounding."""
    if isinstance(expected, bool) or not isinstance(expected, int | float | list | Mapping | str):
        same = expected == answered
    elif isinstance(expected, Mapping):
        if not isinstance(answered, Mapping) or expected.keys() != answered.keys():
            return _told(place, expected, answered)
        told = (difference(expected[key], answered[key], f"{place}.{key}") for key in expected)
        return next(filter(None, told), "")
    elif isinstance(expected, list):
        if not isinstance(answered, list) or len(expected) != len(answered):
            return _told(place, expected, answered)
        both = enumerate(zip(expected, answered, strict=True))
        return next(filter(None, (difference(one, two, f"{place}[{at}]") for at, (one, two) in both)), "")
    elif isinstance(expected, str):
        return _of_texts(expected, answered, place)
    else:
        same = isinstance(answered, int | float) and math.isclose(
            expected, answered, rel_tol=RELATIVE, abs_tol=ABSOLUTE
        )
    return "" if same else _told(place, expected, answered)


def _of_texts(expected: str, answered: Any, place: str) -> str:
    """A text may be JSON with numbers in it: scores by class, boxes."""
    if expected == answered:
        return ""
    try:
        parsed = json.loads(expected), json.loads(answered)
    except (TypeError, ValueError):
        return _told(place, expected, answered)
    return (
        difference(*parsed, place) if isinstance(parsed[0], list | dict) else _told(place, expected, answered)
    )


def _told(place: str, expected: Any, answered: Any) -> str:
    return f"{place}: evaluated {str(expected)[:120]!r}, answered {str(answered)[:120]!r}"
