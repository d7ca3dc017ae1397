"""Image files: one record a file. The folder that it is in names its class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.data.formats import Record, Rejected, printable, rejected
from components.lib.data.listing import COLUMN
from components.lib.data.streams import Stream

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
HOLDS = "image"
LARGEST = 64 << 20  # bytes of a file


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `image` (the bytes) and `label` (the name of the folder)."""
    where = printable(stream.name)
    stream.tally.read = 1
    data = stream.file.read(LARGEST + 1)
    if len(data) > LARGEST:
        yield rejected(where, f"the file is larger than {LARGEST:,} bytes", "")
        return
    archive = stream.name.removesuffix(f"!/{stream.member}")
    name = f"{archive}/{stream.member}" if stream.member else archive
    folders = [part for part in name.split("/")[:-1] if not COLUMN.fullmatch(part)]
    yield Record({"image": data, "label": folders[-1] if folders else ""}, where)
