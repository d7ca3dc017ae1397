"""Tab-separated .tab files: Orange's, under three header rows (names, types, roles), or with a single one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from components.lib.data.decoding import Line, lines
from components.lib.data.formats import Record, Rejected, csv, place, rejected
from components.lib.data.streams import Stream

SUFFIXES = (".tab",)
HEADERS = 3
TYPES = re.compile(r"c|d|s|t|continuous|discrete|string|time|basket", re.IGNORECASE)
ROLES = re.compile(r"|c|m|i|w|class|multiclass|meta|ignore|weight|\S+=.*", re.IGNORECASE)


@dataclass(frozen=True)
class Config:
    """The .tab format has no dials: as `csv` it has those of CSV."""


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record a row; the fields are named by the first row."""
    found = lines(stream, encoding)
    head = list(islice(found, HEADERS))
    if not _orange(head):
        yield from csv.records(stream, chain(head, found), csv.Config())
        return
    stream.tally.header += HEADERS
    header = head[0].text.split("\t")
    for line in found:
        where = place(stream, line.number)
        if line.error:
            yield rejected(where, line.error, line.text)
        elif line.text:
            yield csv.record(header, line.text.split("\t"), where)
        else:
            stream.tally.blank += 1


def _orange(head: list[Line]) -> bool:
    """Whether the second line holds types, or half of it (classes may be listed), and the third roles."""
    if len(head) < HEADERS or any(line.error for line in head):
        return False
    names, types, roles = (line.text.split("\t") for line in head)
    said = [cell for cell in types if cell]
    known = sum(TYPES.fullmatch(cell) is not None for cell in said)
    same = len(names) == len(types) and len(roles) <= len(names)
    return same and 0 < known >= len(said) / 2 and all(ROLES.fullmatch(cell) for cell in roles)
