"""Parquet: one record a row, read in small batches within a limit of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.lib.core import memory
from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.streams import Limits, Stream

SUFFIXES = (".parquet", ".pq")
ROWS = 256  # of a batch; fewer where single values may be large, for a dictionary repeats one without cost
BATCH = 64 << 20  # bytes of a batch, if the footer tells the truth
LEAST = 16  # bytes that a row counts, so that a few bytes of footer are not work without end
MEMORY = 3 << 30  # bytes that decoding a batch may map, if it does not; the allocator alone reserves one GiB


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
        columns = list(config.columns) or None
        stream.tally.unit, stream.tally.read = "rows", file.metadata.num_rows
        stated = sum(chunk.total_uncompressed_size for chunk in _chunks(file.metadata))
        if stated > most:
            raise _bomb(stream, f"{stated:,} bytes, as its footer says", most)
        for batch in _batches(file, columns, stream):
            given += max(batch.nbytes, LEAST * len(batch))
            if given > most:
                raise _bomb(stream, f"the first {number + len(batch):,} rows have {given:,} bytes", most)
            for record in _records(batch):
                number += 1
                where = place(stream, number)
                yield Record(record, where) if isinstance(record, dict) else rejected(where, *record)
    except (pa.ArrowException, OSError) as error:
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


def _records(batch: Any) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """The rows as dicts; one that is not UTF-8 as a reason and an excerpt."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                yield f"not UTF-8: {error.reason}", repr(error.object[:50])
