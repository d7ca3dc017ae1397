"""Parquet: one record a row, read in small batches whose size is watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.lib.config import setting
from components.lib.errors import DataError
from components.lib.formats import Record, Rejected, place, rejected
from components.lib.streams import Stream

SUFFIXES = (".parquet", ".pq")
ROWS = 256  # of a batch
LARGEST = (
    256 << 20
)  # bytes of a batch: a dictionary can blow 47 KB up to 300 MB behind an honest-looking footer


@dataclass(frozen=True)
class Config:
    """What is read of each row."""

    columns: tuple[str, ...] = setting((), "columns to read; empty means all")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The rows, numbered from 1."""
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        file = parquet.ParquetFile(stream.seekable(), page_checksum_verification=True, memory_map=False)
        for batch in file.iter_batches(ROWS, columns=list(config.columns) or None, use_threads=False):
            if batch.nbytes > LARGEST:
                raise DataError(
                    "a parquet file expands too far: it may be a decompression bomb", where=stream.name,
                    found=f"{ROWS} rows of {batch.nbytes:,} bytes", expected=f"at most {LARGEST:,} bytes",
                )  # fmt: skip
            for record in _records(batch):
                number += 1
                where = place(stream, number)
                yield Record(record, where) if isinstance(record, dict) else rejected(where, *record)
    except (pa.ArrowException, OSError) as error:
        fix = "restore the file or leave it out of the source"
        raise DataError(
            "a parquet file is broken or cut short", where=place(stream, number + 1), found=error, fix=fix
        ) from error


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
