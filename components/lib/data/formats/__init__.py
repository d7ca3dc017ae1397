"""Files to records: one file a format. The file's name is the format's name.

A format declares `SUFFIXES` (the endings that mean it), a `Config`, perhaps `HOLDS` (the one modality that
its files can hold; a table may hold any), and

    read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]

What cannot be read is handed on as a Rejected with its place and its reason, never left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import DataError, MissingError
from components.lib.core.settings import did_you_mean, from_dict
from components.lib.data.streams import Stream

EXCERPT = 200  # characters of a rejected record that are kept


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its fields and where it stands ('file:line', or 'file:row' of a table)."""

    fields: dict[str, Any]
    where: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """What could not be read as a record, where, and why."""

    where: str
    reason: str
    excerpt: str


class Stranger(Rejected):
    """A file among others whose ending means no format: told, but no broken record."""

    __slots__ = ()


def rejected(where: str, reason: str, excerpt: object) -> Rejected:
    """A Rejected whose excerpt is one short printable line."""
    text = "".join(c if c.isprintable() else " " for c in str(excerpt)[:EXCERPT])
    return Rejected(where, reason, text)


def read(
    stream: Stream,
    format: str = "auto",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    encoding: str = "auto",
    modality: str = "",
) -> Iterator[Record | Rejected]:
    """The records of one stream.

    Args:
        stream: the bytes.
        format: the name of a format, or 'auto' for the one of the stream's ending.
        options: format name -> the options of its `Config`.
        encoding: a codec of Python for text formats, or 'auto'.
        modality: what the records are wanted for; empty: anything.

    Raises:
        DataError: if the format is not known, or the file as a whole cannot be read.
        ConfigError: if the format or an option does not exist.
    """
    name = of(stream, modality) if format == "auto" else format
    plugin = plugins.load(__name__, name)
    config = from_dict(plugin.Config, (options or {}).get(name, {}), f"format_options.{name}")
    yield from plugin.read(stream, config, encoding)


def of(stream: Stream, modality: str = "") -> str:
    """The format that the ending of the stream's name means; raises DataError for an unknown one."""
    known = suffixes(modality)
    if stream.suffix not in known:
        raise unknown(stream.name, stream.suffix, modality)
    return known[stream.suffix]


def unknown(where: str, found: str, modality: str) -> DataError:
    """The error of a file whose ending means no format."""
    fix = "set 'format', or choose the files with a pattern such as folder/*.txt"
    expected = ", ".join(sorted(suffixes(modality)))
    found = found or "no ending"
    return DataError(
        "the format of a file is not known", where=where, found=found, expected=expected, fix=fix
    )


@cache
def suffixes(modality: str = "") -> dict[str, str]:
    """Ending -> name of the format, of those that can hold the modality; empty: any."""
    found = {}
    for name in plugins.names(__name__):
        constants = plugins.declared(__name__, name).constants
        if modality in ("", constants.get("HOLDS", modality)):
            found.update(dict.fromkeys(constants["SUFFIXES"], name))
    return found


def reads_archives(format: str) -> bool:
    """Whether a format takes an archive whole, and not one member after the other."""
    return bool(plugins.declared(__name__, format).constants.get("ARCHIVE", False))


def check(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks options by format; raises ConfigError for an unknown format, option or value."""
    for name, values in options.items():
        from_dict(plugins.declared(__name__, name).config or object, values, f"format_options.{name}")


def field(record: Record, name: str, only: tuple[str, ...]) -> Any:
    """The value of a field; of a record that has but the fields `only`, the first of them; or a Rejected."""
    if name in record.fields:
        return record.fields[name]
    if tuple(record.fields) == only:
        return record.fields[only[0]]
    known = did_you_mean(name, sorted(map(str, record.fields)))
    return rejected(record.where, f"there is no field '{name}'; {known}", record.fields)


def required(record: Record, name: str) -> Any:
    """The value of a field; raises MissingError that lists the fields there are."""
    if name not in record.fields:
        fix = did_you_mean(name, sorted(record.fields))
        raise MissingError(f"the records have no field '{name}'", where=record.where, fix=fix)
    return record.fields[name]


def place(stream: Stream, number: int) -> str:
    """'file:line'; control characters of a hostile file name are made visible."""
    return f"{printable(stream.name)}:{number}"


def printable(name: str) -> str:
    """A name that is safe in a line of a log."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()
