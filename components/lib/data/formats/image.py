"""Image files: one record a file. The folder that it is in names its class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.data.formats import Record, Rejected
from components.lib.data.record_layouts import whole
from components.lib.data.streams import Stream

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
HOLDS = "image"
WHOLE = True
LARGEST = 64 << 20  # bytes of a file


@dataclass(frozen=True)
class Config:
    """Nothing to choose."""


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `image` (the bytes) and `label` (the name of the folder)."""
    return whole(stream, HOLDS, LARGEST)
