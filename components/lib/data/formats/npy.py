"""NumPy arrays of images (.npy), (images, height, width) or with a last axis of channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.data.arrays import header, loaded, records
from components.lib.data.formats import Record, Rejected, place
from components.lib.data.sources import open_single
from components.lib.data.streams import Stream

SUFFIXES = (".npy",)
HOLDS = "image"


@dataclass(frozen=True)
class Config:
    """Where the classes are."""

    labels: str = setting("", "URI of the .npy file of the classes; empty: there are none")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `image` (a PNG) and, if classes are given, `label`."""
    beside = {}
    if config.labels:
        with open_single(config.labels) as labels:
            beside["label"] = loaded(labels.file, place(labels, 0))
    yield from records(stream, stream.file, *header(stream.file, place(stream, 0)), beside)
