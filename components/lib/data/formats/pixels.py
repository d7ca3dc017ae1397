"""CSV of pixels: an image a row, as MNIST is often handed round, the class first or last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.decoding import lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.images import content
from components.lib.data.streams import Stream

SUFFIXES = ()
HOLDS = "image"


@dataclass(frozen=True)
class Config:
    """How the numbers of a row make an image."""

    height: int = setting(28, "rows of pixels", minimum=1, maximum=4096)
    width: int = setting(28, "columns of pixels", minimum=1, maximum=4096)
    channels: int = setting(1, "1: grey, 3: colour, the three values of a pixel side by side", choices=(1, 3))
    label: str = setting("first", "where the class stands", choices=("first", "last", "none"))
    delimiter: str = setting(",", "between numbers")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `image` (a PNG) and `label`; a first line that holds names is passed over."""
    for line in lines(stream, encoding):
        where = place(stream, line.number)
        if line.error:
            yield rejected(where, line.error, line.text)
        elif not line.text.strip():
            stream.tally.blank += 1
        elif line.number == 1 and _names(line.text, config):
            stream.tally.header += 1
        else:
            yield _record(line.text, config, where)


def _names(text: str, config: Config) -> bool:
    """Whether a line names its columns: whether its first pixel is a word."""
    pixel = text.split(config.delimiter, 2)[1 if config.label == "first" else 0 :][:1]
    return bool(pixel) and pixel[0].strip()[:1].isalpha()


def _record(text: str, config: Config, where: str) -> Record | Rejected:
    label, values = "", text.strip()
    if config.label == "first":
        label, _, values = values.partition(config.delimiter)
    elif config.label == "last":
        values, _, label = values.rpartition(config.delimiter)
    shape = (config.height, config.width, config.channels)
    try:
        numbers = np.array(values.split(config.delimiter), np.float64)
        if numbers.size != np.prod(shape):
            return rejected(where, f"the row has {numbers.size} pixels, not {np.prod(shape)}", text)
        return Record({"image": content(numbers.reshape(shape).tolist()), "label": _class(label)}, where)
    except (ValueError, DataError) as error:
        reason = error.reason if isinstance(error, DataError) else str(error)
        return rejected(where, reason, text)


def _class(label: str) -> str:
    """'3' for 3.0: a table of numbers has but one type."""
    number = label.strip().removesuffix("0").removesuffix(".") if label.strip().endswith(".0") else label
    return number.strip()
