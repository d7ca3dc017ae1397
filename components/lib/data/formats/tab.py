"""Orange's .tab: tab-separated values under three header rows (names, types, roles)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.data.decoding import lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.formats.csv import record
from components.lib.data.streams import Stream

SUFFIXES = (".tab",)
HEADERS = 3


@dataclass(frozen=True)
class Config:
    """The .tab format has no dials."""


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record a row; the fields are named by the first header row."""
    header: list[str] = []
    for line in lines(stream, encoding):
        where = place(stream, line.number)
        if line.error:
            yield rejected(where, line.error, line.text)
        elif line.number == 1:
            header = line.text.split("\t")
            stream.tally.header += 1
        elif line.number <= HEADERS:
            stream.tally.header += 1
        elif line.text:
            yield record(header, line.text.split("\t"), where)
        else:
            stream.tally.blank += 1
