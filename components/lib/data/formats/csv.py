"""CSV and TSV: values apart by a delimiter, one record a row, under a header row."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.decoding import LONGEST, Line, lines
from components.lib.data.formats import Record, Rejected, place, printable, rejected
from components.lib.data.streams import Stream

SUFFIXES = (".csv", ".tsv")
HEAD = 50  # lines that are looked at to find the delimiter
USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
NO_DELIMITER = "\x1f"
SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's first line


@dataclass(frozen=True)
class Config:
    """How a row is cut into columns."""

    delimiter: str = setting("auto", "between columns; auto: of , ; | and tab the one that suits the header")
    quote: str = setting("auto", "around a field that holds delimiters; auto: \" in CSV, none ('') in TSV")
    escape: str = setting("", "before a quote inside a field, such as Spark's \\; empty: quotes are doubled")
    header: bool = setting(True, "whether the first row names the columns; if not, `columns` do, or 1, 2, 3")
    columns: tuple[str, ...] = setting((), "names of the columns of a file without a header row")


@dataclass(frozen=True)
class Dialect:
    """Delimiter ('' of a file with one column), quote and escape, and whether blanks follow the delimiter."""

    delimiter: str
    quote: str
    escape: str
    spaced: bool = False

    def reader(self, texts: Iterator[str] | Sequence[str], *, strict: bool = True) -> Any:
        """The parser of the standard library."""
        return csv.reader(
            texts,
            delimiter=self.delimiter or NO_DELIMITER,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape or None,
            skipinitialspace=self.spaced,
            strict=strict,
        )


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record a row; a row with another number of columns than the header is rejected."""
    yield from records(stream, lines(stream, encoding), config)


def records(stream: Stream, found: Iterator[Line], config: Config) -> Iterator[Record | Rejected]:
    """The records in lines of a table.

    A quote that opens a field may be a stray one, and swallow the rows up to the next. Where each line of a
    record could be a row by itself, only the first one is rejected, and reading goes on behind it.

    Raises:
        DataError: if the header is of no use, or a field that is opened is never closed.
    """
    csv.field_size_limit(LONGEST)
    head = list(islice(found, HEAD))
    separator = _preamble(stream, head)
    dialect = _dialect(stream, config, [line.text for line in head if not line.error], separator)
    names = [] if config.header and not config.columns else list(config.columns)
    headed = bool(names) or not config.header
    for taken, row, error in Rows(stream, chain(head, found), dialect, names):
        where, span = place(stream, taken[0].number), len(taken)
        broken = taken[0] if taken[0].error else None
        if span > 1 and not broken:
            broken = next((line for line in taken if line.error), None)
        if error or broken:
            at = place(stream, broken.number) if broken else where
            text = broken.text if broken else taken[0].text
            yield rejected(at, broken.error if broken else error, text, span)
        elif not row:
            stream.tally.blank += span
        elif not headed:
            headed = True
            names += _header(stream, [name.strip() for name in row] if dialect.spaced else row)
            stream.tally.header += span
        else:
            names += [str(number + 1) for number in range(len(row))] if not names else []
            yield record(names, row, where, span)


def record(header: list[str], row: list[str], where: str, span: int = 1) -> Record | Rejected:
    """The row by the header's names, or Rejected if it has another length."""
    if len(row) != len(header):
        reason = f"the row has {len(row)} columns, the header has {len(header)}"
        return rejected(where, reason, " | ".join(row), span)
    return Record(dict(zip(header, row, strict=True)), where, span)


@dataclass
class Rows:
    """(its lines, its columns, what is wrong with it) of each row.

    Attributes:
        names: of the columns; empty until the header is read.
    """

    stream: Stream
    found: Iterator[Line]
    dialect: Dialect
    names: list[str]

    def __iter__(self) -> Iterator[tuple[list[Line], list[str], str]]:
        dialect = self.dialect
        if not dialect.quote and not dialect.escape:
            yield from self._plain()
            return
        self._again, self._taken, noted = deque[Line](), list[Line](), False
        reader = dialect.reader(self._texts())
        while True:
            taken: list[Line] = []
            row, error, self._taken = list[str](), "", taken
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                error = self._reason(str(problem))
                reader = dialect.reader(self._texts())
            if len(taken) == 1 and not error:
                pass
            elif len(taken) > 1 and self._swallows(taken):
                error = f"a quote opens a field that would swallow the {len(taken) - 1} rows after it"
                self._again.extendleft(reversed(taken[1:]))
                taken = taken[:1]
                reader = dialect.reader(self._texts())
            elif error.startswith("a quoted field is never closed"):
                fix = "correct the quotes, or set format_options.csv.quote, .escape or .delimiter"
                where = place(self.stream, taken[0].number)
                raise DataError("a quoted field is never closed", where=where, found=error, fix=fix)
            elif len(taken) > 1 and not noted:
                noted = True
                self.stream.tally.notes.append("some of its records span several lines, within quotes")
            yield taken, row, error

    def _plain(self) -> Iterator[tuple[list[Line], list[str], str]]:
        """Without quotes each line is a row."""
        delimiter, spaced, noted = self.dialect.delimiter or NO_DELIMITER, self.dialect.spaced, False
        for line in self.found:
            row = line.text.split(delimiter) if line.text else []
            if spaced:
                row = [cell.lstrip(" ") for cell in row]
            if not noted and '"' in line.text and any(len(c) > 1 and c[0] == c[-1] == '"' for c in row):
                noted = True
                self.stream.tally.notes.append(
                    "some of its fields stand in quotes, which are text here: "
                    "set format_options.csv.quote to '\"' if they are none (with format: csv)"
                )
            yield [line], row, ""

    def _texts(self) -> Iterator[str]:
        while self._again:
            self._taken.append(line := self._again.popleft())
            yield line.text + "\n"
        for line in self.found:
            self._taken.append(line)
            yield line.text + "\n"

    def _swallows(self, taken: list[Line]) -> bool:
        """Whether every line of a record could be a row of its own.

        Behind the comma of a sentence stands a blank, or nothing: of most lines it must be otherwise.
        """
        if len(self.names) < 2:
            return False
        rows = [self._alone(line.text) for line in taken]
        clean = [all(cell and (self.dialect.spaced or cell[0] != " ") for cell in row[1:]) for row in rows]
        return all(len(row) == len(self.names) for row in rows) and 2 * sum(clean) > len(rows)

    def _alone(self, text: str) -> list[str]:
        """The columns of a line if it were a record; its quotes are text if they are odd."""
        try:
            return list(next(self.dialect.reader([text]), []))
        except csv.Error:
            return text.split(self.dialect.delimiter)

    def _reason(self, problem: str) -> str:
        text = self._taken[-1].text
        if "field limit" in problem or "unexpected end" in problem:
            return f"a quoted field is never closed: {problem}"
        if "new-line character" in problem:
            return "not CSV: a carriage return stands in a field without quotes"
        hint = "; set format_options.csv.escape to \\ if it escapes quotes" if '\\"' in text else ""
        return f"not CSV: {problem}{hint}"


def _preamble(stream: Stream, head: list[Line]) -> str:
    """Takes blank lines and Excel's `sep=;` off the head; returns the delimiter that it names."""
    separator = ""
    while head and not head[0].error:
        said = SEPARATOR.fullmatch(head[0].text)
        if head[0].text.strip() and (said is None or separator):
            break
        separator = said[1] if said else separator
        stream.tally.header += said is not None
        stream.tally.blank += said is None
        del head[0]
    return separator


def _dialect(stream: Stream, config: Config, texts: list[str], separator: str) -> Dialect:
    """What is set, and what the first lines tell of the rest."""
    usual = USUAL.get(stream.suffix, ",")
    quoted = '"' if config.quote == "auto" else config.quote
    delimiter = separator or config.delimiter if config.delimiter == "auto" else config.delimiter
    if delimiter == "auto":
        delimiter = _delimiter(texts, usual, Dialect("", quoted, config.escape), len(config.columns))
        if delimiter != usual:
            said = f"it has {NAMES[delimiter]} between columns" if delimiter else "it has one column"
            note = f"{said}, by its first lines: set format_options.csv.delimiter if that is wrong"
            stream.tally.notes.append(note)
    quote, escape = quoted, config.escape
    if config.quote == "auto" and usual == delimiter == "\t":
        quote = '"' if stream.suffix == ".tab" and _in_quotes(texts[1:]) else ""
        escape = escape or ("\\" if quote and any('\\"' in text for text in texts) else "")
        if quote:
            how = "; a backslash escapes" if escape else ""
            stream.tally.notes.append(f"its strings stand in quotes, which are left out{how}")
    first = texts[0].split(delimiter) if texts and delimiter else []
    spaced = len(first) > 1 and delimiter != "\t" and all(cell.startswith(" ") for cell in first[1:])
    if spaced:
        stream.tally.notes.append("blanks behind its delimiters are left out")
    return Dialect(delimiter, quote, escape, spaced)


def _delimiter(texts: list[str], usual: str, dialect: Dialect, columns: int) -> str:
    """The delimiter with which most rows have as many columns as the first; '' without one in that."""
    best, most = "", 0.0
    for candidate in (usual, *(c for c in NAMES if c != usual)):
        if not texts or candidate not in texts[0]:
            continue
        tried = Dialect(candidate, dialect.quote, dialect.escape)
        try:
            rows = [row for row in tried.reader(texts, strict=False) if row]
        except csv.Error:  # a carriage return within a line
            rows = [text.split(candidate) for text in texts]
        count = columns or len(rows[0])
        score = sum(len(row) == count for row in rows) / len(rows) if count > 1 else 0.0
        if score > most:
            best, most = candidate, score
    return best


def _in_quotes(texts: list[str]) -> bool:
    """Whether all values of a column stand in quotes, as R and Dataverse write strings."""
    rows = [text.split("\t") for text in texts if text]
    columns = zip(*rows, strict=False)
    return any(all(len(c) > 1 and c[0] == c[-1] == '"' for c in column) for column in columns)


def _header(stream: Stream, names: list[str]) -> list[str]:
    """The names, once they are found to be of use.

    Raises:
        DataError: if a column that is asked for is named twice, or none of them is named.
    """
    twice = sorted({name for name in names if name and names.count(name) > 1})
    where, wanted = printable(stream.name), stream.wanted
    if any(not wanted or name in wanted for name in twice):
        fix = "rename a column, or leave one out"
        raise DataError("a table names a column twice", where=where, found=", ".join(twice), fix=fix)
    if twice:
        stream.tally.notes.append(f"columns of the same name, none of which is read: {', '.join(twice)[:80]}")
    if wanted and len(names) > 1 and not set(wanted) & set(names):
        raise DataError(
            "a table has none of the columns that are asked for",
            where=where,
            found=" | ".join(names)[:200],
            expected=", ".join(wanted),
            fix="set `fields`; or, in format_options.csv, columns, if there is no header row; or delimiter",
        )
    return names
