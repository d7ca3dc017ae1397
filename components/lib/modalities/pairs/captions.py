"""Captions of an image: a text, or a list of them, as data sets write them, each on one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import DataError
from components.lib.modalities.text.normalization import normalised

KEYS = ("raw", "caption", "text", "sentence")  # of a caption that is an object
MOST = 1000  # captions of an image
LONGEST = 100_000  # characters of one
EXPECTED = "a text or a list of texts"


def captions(value: Any, *, normal: bool = False) -> list[str]:
    """The distinct captions that are not blank, in their order, each on one line.

    Args:
        value: a text, a list of texts or of objects with one, or the JSON of such a list; None: none.
        normal: normalises Unicode and takes control characters out, as texts of a corpus are.

    Raises:
        DataError: if it is something else, or far too much.
    """
    if isinstance(value, str) and value[:2] in ('["', "['"):
        value = _listed(value)
    listed = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    if len(listed) > MOST:
        raise DataError("an image has too many captions", found=len(listed), expected=f"{MOST:,} at most")
    found = dict[str, None]()
    for one in listed:
        text = next((one[key] for key in KEYS if key in one), None) if isinstance(one, Mapping) else one
        if not isinstance(text, str):
            raise DataError("a caption is not text", found=type(text).__name__, expected=EXPECTED)
        if len(text) > LONGEST:
            raise DataError(
                "a caption is far too long", found=f"{len(text):,} characters", expected=f"{LONGEST:,}"
            )
        found[" ".join((normalised(text) if normal else text).split())] = None
    return [text for text in found if text]


def joined(found: list[str]) -> str:
    """As they stand in a corpus."""
    return "\n".join(found)


def split(text: str) -> list[str]:
    """Those that `joined` put together."""
    return text.split("\n") if text else []


def _listed(value: str) -> Any:
    """The list that a text spells in JSON, as tables without lists hold it; else the text."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, list) else value
