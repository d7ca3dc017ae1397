"""IDX files, as MNIST and Fashion-MNIST come: an array of bytes; the classes in a file of their own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.arrays import records
from components.lib.data.formats import Record, Rejected, place
from components.lib.data.sources import open_single
from components.lib.data.streams import Stream

SUFFIXES = (".idx", ".idx3-ubyte")
HOLDS = "image"
UNSIGNED_BYTES = 0x08


@dataclass(frozen=True)
class Config:
    """Where the classes are."""

    labels: str = setting("", "URI of the IDX file of the classes; empty: there are none")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `image` (a PNG) and, if classes are given, `label`."""
    beside = {}
    if config.labels:
        with open_single(config.labels) as labels:
            beside["label"] = list(labels.file.read(_shape(labels)[0]))
    if len(shape := _shape(stream)) == 1:
        what, fix = (
            "an IDX file of classes, not of images",
            "name it in format_options.idx.labels, apart from images",
        )
        raise DataError(what, where=place(stream, 0), found=f"{shape[0]:,} numbers", fix=fix)
    yield from records(stream, stream.file, shape, "u1", beside)


def _shape(stream: Stream) -> tuple[int, ...]:
    where = place(stream, 0)
    head = stream.file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTES or not 1 <= head[3] <= 4:
        raise DataError(
            "not an IDX file of bytes", where=where, found=repr(head), expected="0 0 8 and 1 to 4"
        )
    sizes = stream.file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError("an IDX file is cut short", where=where)
    return struct.unpack(f">{head[3]}I", sizes)
