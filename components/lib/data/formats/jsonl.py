"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.data.decoding import lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.streams import Stream

SUFFIXES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class Config:
    """JSON Lines has no dials."""


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record a line; blank lines mean nothing."""
    for line in lines(stream, encoding):
        where = place(stream, line.number)
        if line.error:
            yield rejected(where, line.error, line.text)
        elif line.text.strip():
            yield _record(line.text, where)
        else:
            stream.tally.blank += 1


def _record(text: str, where: str) -> Record | Rejected:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        return rejected(where, f"not JSON: {error}", text)
    if not isinstance(fields, dict):
        return rejected(where, f"a JSON object is expected, not {type(fields).__name__}", text)
    return Record(fields, where)
