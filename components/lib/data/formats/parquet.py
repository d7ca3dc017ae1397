"""Parquet: one record a row, read in small batches within a limit of memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from components.lib.core import memory
from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.streams import Limits, Stream

SUFFIXES = (".parquet", ".pq")
ROWS = 256  # of a batch; fewer where single values may be large, for a dictionary repeats one without cost
BATCH = 64 << 20  # bytes of a batch, if the footer tells the truth
LEAST = 16  # bytes that a row counts, so that a few bytes of footer are not work without end
ODD = (ValueError, OverflowError, KeyError, TypeError)  # of values that Python has no type for; of zoneinfo
MEMORY = 3 << 30  # bytes that decoding a batch may map, if it does not; the allocator alone reserves one GiB

Meaning = Callable[[Any], Any]


@dataclass(frozen=True)
class Config:
    """What is read of each row."""

    columns: tuple[str, ...] = setting((), "columns to read; empty means all")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The rows, numbered from 1."""
    import pyarrow as pa
    from pyarrow import parquet

    number, given = 0, 0
    try:
        bytes_ = stream.seekable()
        most = Limits().most(bytes_.seek(0, 2))
        file = parquet.ParquetFile(bytes_, page_checksum_verification=True, memory_map=False)
        columns = _columns(file.schema_arrow, config, stream)
        named = _named(file.schema_arrow)
        stream.tally.unit, stream.tally.read = "rows", file.metadata.num_rows
        stated = sum(chunk.total_uncompressed_size for chunk in _chunks(file.metadata))
        if stated > most:
            raise _bomb(stream, f"{stated:,} bytes, as its footer says", most)
        for batch in _batches(file, columns, stream):
            given += max(batch.nbytes, LEAST * len(batch))
            if given > most:
                raise _bomb(stream, f"the first {number + len(batch):,} rows have {given:,} bytes", most)
            for record in _records(batch, named, stream.wanted):
                number += 1
                where = place(stream, number)
                yield Record(record, where) if isinstance(record, dict) else rejected(where, *record)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of names in its footer
        fix = "restore the file or leave it out of the source"
        raise DataError(
            "a parquet file is broken or cut short", where=place(stream, number + 1), found=error, fix=fix
        ) from error


def _batches(file: Any, columns: list[str] | None, stream: Stream) -> Iterator[Any]:
    """The batches, each decoded below a ceiling of memory: a page's header is not held to the footer."""
    batches = file.iter_batches(_rows(file.metadata), columns=columns, use_threads=False)
    while True:
        try:
            with memory.at_most(MEMORY):
                batch = next(batches, None)
        except MemoryError as error:  # Arrow's own is one
            raise _bomb(stream, f"more than {MEMORY:,} bytes to decode a few rows", MEMORY) from error
        if batch is None:
            return
        yield batch


def _bomb(stream: Stream, found: str, most: int) -> DataError:
    what = "a parquet file expands too far: it may be a decompression bomb"
    fix = "write it in small pages and without dictionaries if you trust it"
    return DataError(what, where=stream.name, found=found, expected=f"at most {most:,} bytes", fix=fix)


def _chunks(metadata: Any) -> Iterator[Any]:
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return (group.column(number) for group in groups for number in range(metadata.num_columns))


def _rows(metadata: Any) -> int:
    """Rows of a batch, such that no value that a column chunk can hold makes the batch too large."""
    largest = max((chunk.total_uncompressed_size for chunk in _chunks(metadata)), default=1)
    return max(16, min(ROWS, BATCH // max(largest, 1)))


def _columns(schema: Any, config: Config, stream: Stream) -> list[str] | None:
    """The columns to decode: those that are asked for, or all if one of them does not exist.

    Raises:
        DataError: if the table names one of them twice.
    """
    known = Counter(schema.names)
    wanted = config.columns or (stream.wanted if set(stream.wanted) <= known.keys() else ())
    twice = [name for name in wanted or known if known[name] > 1]
    if twice:
        what, fix = "a table names a column twice", "rename one, or set format_options.parquet.columns"
        raise DataError(what, where=stream.name, found=", ".join(twice), fix=fix)
    return list(wanted) or None


def _records(
    batch: Any, named: Mapping[str, Meaning], wanted: tuple[str, ...]
) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """The rows as dicts; one with a value asked for that Python cannot hold as a reason and an excerpt."""
    names, columns, odd = batch.schema.names, list[list[Any]](), False
    for name, column in zip(names, batch.columns, strict=True):
        meaning = named.get(name)
        try:
            values = column.to_pylist()
            columns.append(values if meaning is None else [meaning(value) for value in values])
        except ODD:
            odd = True
            columns.append([_value(name, value, meaning) for value in column])
    if not names:
        yield from ({} for _ in range(len(batch)))
    for row in zip(*columns, strict=True):
        record = dict(zip(names, row, strict=True))
        if odd:
            broken = {name: value for name, value in record.items() if isinstance(value, _Unreadable)}
            told = next((value for name, value in broken.items() if not wanted or name in wanted), None)
            record |= dict.fromkeys(broken)
            yield record if told is None else (told.reason, told.excerpt)
        else:
            yield record


class _Unreadable(NamedTuple):
    reason: str
    excerpt: str


def _value(name: str, value: Any, meaning: Meaning | None) -> Any:
    try:
        plain = value.as_py()
        return plain if meaning is None else meaning(plain)
    except UnicodeDecodeError as error:
        return _Unreadable(f"'{name}' is not UTF-8: {error.reason}", repr(error.object[:50]))
    except ODD as error:
        return _Unreadable(f"'{name}' cannot be read: {error}", str(value.type))


def _named(schema: Any) -> dict[str, Meaning]:
    """Column -> its values with the names of classes that Hugging Face's datasets put in the schema."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        found = {str(name): _meaning(feature) for name, feature in features.items()}
    except (TypeError, KeyError, AttributeError, ValueError):
        return {}
    return {name: meaning for name, meaning in found.items() if meaning is not None}


def _meaning(feature: Any) -> Meaning | None:
    """Names of a ClassLabel's numbers, wherever it stands; -1 and null are None: no label."""
    if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
        names = [str(name) for name in feature["names"]]
        return lambda value: _class(value, names)
    if isinstance(feature, list) or (isinstance(feature, dict) and "feature" in feature):
        inner = _meaning(feature[0] if isinstance(feature, list) else feature["feature"])
        if inner is None:
            return None
        return lambda value: [inner(one) for one in value] if isinstance(value, list) else inner(value)
    if isinstance(feature, dict) and "_type" not in feature:
        parts = {name: part for name, one in feature.items() if (part := _meaning(one)) is not None}
        return (lambda value: _struct(value, parts)) if parts else None
    return None


def _class(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):  # of a struct of lists, which a sequence of structs is stored as
        return [_class(one, names) for one in value]
    if value is None or value == -1:
        return None
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise ValueError(f"{value} is the number of none of the classes {', '.join(names[:20])}")
    return names[value]


def _struct(value: Any, parts: Mapping[str, Meaning]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: parts[name](one) if name in parts else one for name, one in value.items()}
