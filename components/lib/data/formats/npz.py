"""NumPy archives (.npz), as MedMNIST comes: an array of images, and others of the same length."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from components.lib.core.errors import DataError, MissingError
from components.lib.core.settings import setting
from components.lib.data.arrays import header, loaded, records
from components.lib.data.formats import Record, Rejected, place
from components.lib.data.streams import Limits, Stream, explained

SUFFIXES = (".npz",)
HOLDS = "image"


@dataclass(frozen=True)
class Config:
    """Which arrays are read."""

    images: str = setting("images", "name of the array of images")
    fields: dict[str, str] = setting({}, "field -> array of as many values, e.g. {label: classes}")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The field `image` (a PNG) and those that are asked for."""
    with explained(stream.name), zipfile.ZipFile(stream.seekable()) as archive:
        beside = {}
        for field, name in config.fields.items():
            with _member(archive, name, stream) as file:
                beside[field] = loaded(file, place(stream, 0))
        with _member(archive, config.images, stream) as file:
            yield from records(stream, file, *header(file, place(stream, 0)), beside)


def _member(archive: zipfile.ZipFile, name: str, stream: Stream) -> BinaryIO:
    known = [entry.removesuffix(".npy") for entry in archive.namelist()]
    if name not in known:
        fix = f"known: {', '.join(known)}"
        raise MissingError("the archive has no such array", where=place(stream, 0), found=name, fix=fix)
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > Limits().most(info.compress_size):
        found = f"{info.compress_size:,} bytes would become {info.file_size:,}"
        what = "an array expands too far: it may be a decompression bomb"
        raise DataError(what, where=f"{stream.name}!/{name}", found=found)
    return cast(BinaryIO, archive.open(info))
