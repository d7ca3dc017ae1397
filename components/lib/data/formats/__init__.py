"""File formats: files to records, one file a format. The file's name is the format's name.

A format declares `SUFFIXES` (the endings that mean it), a `Config`, perhaps `HOLDS` (the one content that its
files have, such as "image"; a table may have any), `WHOLE` (each of them is one record, its bytes a field of
that name) and `ARCHIVE` (it reads an archive as a whole), and

    read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]

What cannot be read is handed on as a Rejected with its place and its reason, never left out. What is cut out
of the stream is counted in `stream.tally` by the layer that cuts it (`decoding.lines` counts lines); a record
that is made of several lines says so by its `span`. At the end the two must balance, or the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import DataError, MissingError
from components.lib.core.settings import did_you_mean, from_dict
from components.lib.data.streams import POINTER, Stream

EXCERPT = 200  # characters of a rejected record that are kept


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its fields, where it stands ('file:line', or 'file:row' of a table), of how many lines."""

    fields: dict[str, Any]
    where: str
    span: int = 1

    def required(self, name: str) -> Any:
        """The value of a field; raises MissingError that lists the fields there are."""
        if name not in self.fields:
            fix = did_you_mean(name, sorted(self.fields))
            raise MissingError(f"the records have no field '{name}'", where=self.where, fix=fix)
        return self.fields[name]


@dataclass(frozen=True, slots=True)
class Rejected:
    """What could not be read as a record, where, why, and how many lines, rows or members it is."""

    where: str
    reason: str
    excerpt: str
    span: int = 1


@dataclass(frozen=True)
class Account:
    """The last item that `read` gives for a stream: read = records + blank + header + quarantined.

    Attributes:
        unit: what all of them are numbers of: "lines", "rows", "members" or "records".
        records: lines (rows, ...) that the records are made of, one or more for each.
        quarantined: those that Rejected ones are made of.
        notes: what was guessed of the file or left out of it, each in one sentence.
    """

    unit: str
    read: int
    records: int
    blank: int
    header: int
    quarantined: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How files become records: what the owner of a source knows of them.

    Attributes:
        format: a file of components/lib/data/formats, or 'auto': by each file's ending.
        options: format -> the options of its `Config`.
        encoding: a codec of Python for text formats, or 'auto' to detect it.
        reads: contents that are wanted besides tables, such as "image"; None: all.
        fields: of the records, that are asked for; empty: all. A table may leave the others out.
        joined: whether annotations inside an archive are joined to its images.
    """

    format: str = "auto"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    encoding: str = "auto"
    reads: tuple[str, ...] | None = None
    fields: tuple[str, ...] = ()
    joined: bool = False


def is_name(field: str) -> bool:
    """Whether a field names one column; some modalities read patterns and lists of columns, `age, x*`."""
    return not set(field) & set("*?,")


def rejected(where: str, reason: str, excerpt: object, span: int = 1) -> Rejected:
    """A Rejected whose excerpt is one short printable line."""
    text = "".join(c if c.isprintable() else " " for c in str(excerpt)[:EXCERPT])
    return Rejected(where, reason, text, span)


def read(stream: Stream, layout: Layout) -> Iterator[Record | Rejected | Account]:
    """The records of one stream, and at its end one Account.

    Raises:
        DataError: if the format is not known, the file as a whole cannot be read, or its account does not
            balance.
        ConfigError: if the format or an option does not exist.
    """
    name = layout.format
    if name == "auto":
        known = suffixes(layout.reads)
        if stream.suffix not in known:
            raise unknown(stream.name, stream.suffix, layout)
        name = known[stream.suffix]
    plugin = plugins.load(__name__, name)
    config = from_dict(plugin.Config, layout.options.get(name, {}), f"format_options.{name}")
    stream.wanted = layout.fields
    records = quarantined = 0
    for item in _pointer(stream) or plugin.read(stream, config, layout.encoding):
        if isinstance(item, Record):
            records += item.span
        else:
            quarantined += item.span
        yield item
    tally = stream.tally
    of = Account(tally.unit, tally.read, records, tally.blank, tally.header, quarantined, tuple(tally.notes))
    if of.read != (told := of.records + of.blank + of.header + of.quarantined):
        raise DataError(
            "the account of a file does not balance: some of it is lost, or counted twice",
            where=printable(stream.name),
            found=f"{told:,} of {of.read:,} {of.unit}: {of}",
            fix="report it, please, with the file; leave the file out meanwhile",
        )
    yield of


def _pointer(stream: Stream) -> list[Record | Rejected]:
    """The one Rejected of a file that Git LFS keeps elsewhere, whatever its format; [] for others."""
    peek = getattr(stream.file, "peek", None)
    if peek is None or not peek(len(POINTER)).startswith(POINTER):
        return []
    stream.tally.read = 1
    what = "the file is a Git LFS pointer, not the data: fetch them by 'git lfs pull'"
    return [rejected(place(stream, 1), what, "")]


def unknown(where: str, found: str, layout: Layout) -> DataError:
    """The error of a file whose ending means no format."""
    what, found = "the format of a file is not known", found or "no ending"
    expected = f"{', '.join(sorted(suffixes(layout.reads)))}; compressed by gzip or zstd alone"
    fix = "set 'format', or choose the files with a pattern such as folder/*.txt"
    return DataError(what, where=where, found=found, expected=expected, fix=fix)


@cache
def suffixes(reads: tuple[str, ...] | None = None) -> dict[str, str]:
    """Ending -> name of the format, of those that can hold one of the contents `reads`; None: of all."""
    found = {}
    for name in plugins.names(__name__):
        constants = plugins.declared(__name__, name).constants
        if reads is None or constants.get("HOLDS") in (None, *reads):
            found.update(dict.fromkeys(constants["SUFFIXES"], name))
    return found


@cache
def contents() -> dict[str, tuple[str, ...]]:
    """Content that whole files hold, such as "image" -> their endings."""
    found: dict[str, tuple[str, ...]] = {}
    for name in plugins.names(__name__):
        constants = plugins.declared(__name__, name).constants
        if constants.get("WHOLE"):
            found[constants["HOLDS"]] = (*found.get(constants["HOLDS"], ()), *constants["SUFFIXES"])
    return found


def reads_archives(format: str) -> bool:
    """Whether a format takes an archive whole, and not one member after the other."""
    return bool(plugins.declared(__name__, format).constants.get("ARCHIVE", False))


def check(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks options by format; raises ConfigError for an unknown format, option or value."""
    for name, values in options.items():
        from_dict(plugins.declared(__name__, name).config or object, values, f"format_options.{name}")


def column(record: Record, name: str, only: tuple[str, ...]) -> Any:
    """The value of a field; of a record that has but the fields `only`, the first of them; or a Rejected."""
    if name in record.fields:
        return record.fields[name]
    if tuple(record.fields) == only:
        return record.fields[only[0]]
    known = did_you_mean(name, sorted(map(str, record.fields)))
    return rejected(record.where, f"there is no field '{name}'; {known}", record.fields)


def place(stream: Stream, number: int) -> str:
    """'file:line'; control characters of a hostile file name are made visible."""
    return f"{printable(stream.name)}:{number}"


@lru_cache(64)
def printable(name: str) -> str:
    """A name that is safe in a line of a log."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()
