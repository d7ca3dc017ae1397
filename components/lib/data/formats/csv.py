"""CSV and TSV: comma- or tab-separated values with a header row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.decoding import LONGEST, lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.streams import Stream

SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Config:
    """How a row is cut into columns."""

    delimiter: str = setting("", "between columns; empty: the first of , ; and tab that the header has")
    columns: tuple[str, ...] = setting((), "names of the columns of a file without a header row")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record a row; a row with another number of columns than the header is rejected."""
    broken: list[Rejected] = []
    rows = _rows(stream, encoding, config, broken)
    header = list(config.columns)
    for number, row, span in rows:
        yield from broken
        broken.clear()
        if row and not header:
            header = row
            stream.tally.header += span
        elif row:
            yield record(header, row, place(stream, number), span)
        else:
            stream.tally.blank += span
    yield from broken


def record(header: list[str], row: list[str], where: str, span: int = 1) -> Record | Rejected:
    """The row by the header's names, or Rejected if it has another length."""
    if len(row) != len(header):
        reason = f"the row has {len(row)} columns, the header has {len(header)}"
        return rejected(where, reason, " | ".join(row), span)
    return Record(dict(zip(header, row, strict=True)), where, span)


def _rows(
    stream: Stream, encoding: str, config: Config, broken: list[Rejected]
) -> Iterator[tuple[int, list[str], int]]:
    """First line, columns and number of lines of each row; undecodable lines go to `broken`."""
    csv.field_size_limit(LONGEST)
    texts = _texts(stream, encoding, broken)
    first = next(texts, None)
    if first is None:
        return
    delimiter = config.delimiter or _delimiter(stream.suffix, "" if config.columns else first)
    reader = csv.reader(chain([first], texts), delimiter=delimiter, strict=True)
    while True:
        before = reader.line_num
        start = before + len(broken) + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error) or "unexpected end" in str(error):
                what = "a quoted field is never closed"
                fix = "correct the quotes, or set format_options.csv.delimiter"
                raise DataError(what, where=place(stream, start), found=str(error), fix=fix) from error
            broken.append(rejected(place(stream, start), f"not CSV: {error}", "", reader.line_num - before))
            yield start, [], 0
            continue
        yield start, row, reader.line_num - before


def _delimiter(suffix: str, header: str) -> str:
    """A header holds names, in which a comma is rare; where the comma is decimal, columns end with ';'."""
    usual = "\t,;" if suffix == ".tsv" else ",;\t"
    return next((character for character in usual if character in header), usual[0])


def _texts(stream: Stream, encoding: str, broken: list[Rejected]) -> Iterator[str]:
    for line in lines(stream, encoding):
        if line.error:
            broken.append(rejected(place(stream, line.number), line.error, line.text))
        else:
            yield line.text + "\n"
