"""Class names of labels: which values name a class, which mean that there is no label, which look alike."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

from components.lib.core.errors import DataError

DOUBTFUL = {"-", "-1", "?", "na", "none", "missing", "undefined", "unknown", "unlabeled", "unlabelled"}
SHOWN = 5  # of classes in a notice
WHOLE = re.compile(r"-?(0|[1-9]\d*)\.0+", re.ASCII)
SURROGATE = re.compile("[\ud800-\udfff]")


class Unlabelled(DataError):
    """A record has no label: it is left out and counted, but nothing of it is broken."""


def named(value: Any, missing: Collection[str] = ()) -> str:
    """The name of a class: a word, a whole number (1.0 and "1.0" are 1) or a bool.

    Raises:
        Unlabelled: for None, NaN, blanks and the words `missing`.
        DataError: for lists, bytes, structs and fractions.
    """
    value = value.item() if getattr(value, "shape", None) == () else value  # a number of NumPy
    absent = value is None or (isinstance(value, float) and math.isnan(value))
    if absent or (isinstance(value, str) and (not value.strip() or value.strip() in missing)):
        fix = "a class of this name: leave it out of the setting `missing`"
        raise Unlabelled("there is no label", found=repr(value), fix=fix if value in missing else "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int):
        expected = "a word, a whole number or a bool"
        raise DataError("the label is not a class", found=repr(value)[:80], expected=expected)
    text = str(value).strip()
    if SURROGATE.search(text):
        raise DataError("the label holds half of a character", found=repr(text), expected="Unicode text")
    return str(int(text.partition(".")[0])) if WHOLE.fullmatch(text) else text


def notices(names: Iterable[str]) -> list[str]:
    """What is told of the classes of a task: those that look alike, those that look like no label."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(_looks(name), []).append(name)
    alike = [" and ".join(map(ascii, group)) for group in groups.values() if len(group) > 1]
    doubtful = [ascii(name) for group in groups.values() for name in group if name.casefold() in DOUBTFUL]
    told = {
        "classes look alike and are kept apart": alike,
        "classes look as if there were no label": doubtful,
    }
    return [
        f"{what}: {'; '.join(some[:SHOWN])}{f' and {len(some) - SHOWN:,} more' if len(some) > SHOWN else ''}"
        for what, some in told.items()
        if some
    ]


def _looks(name: str) -> str:
    """What of a name is seen: not its normal form, its case, blanks and characters without width."""
    plain = unicodedata.normalize("NFKC", name)
    seen = "".join(character for character in plain if unicodedata.category(character) not in ("Cf", "Cc"))
    return " ".join(seen.casefold().split())


def number(value: Any, missing: Collection[str] = ()) -> float:
    """A label that is a number, or text of one; raises Unlabelled as `named` does, DataError for others."""
    value = value.item() if getattr(value, "shape", None) == () else value
    absent = value is None or (isinstance(value, float) and math.isnan(value))
    if absent or (isinstance(value, str) and (not value.strip() or value.strip() in missing)):
        raise Unlabelled("there is no label", found=repr(value))
    try:
        found = math.nan if isinstance(value, bool | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError("the label is not a number", found=repr(value)[:80], expected="a finite number")
    return found
