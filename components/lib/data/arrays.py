"""NumPy arrays and plain bytes of images, read an image at a time and never unpickled."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from math import prod
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as form

from components.lib.core.errors import DataError
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.images import content
from components.lib.data.streams import Stream

LARGEST = 256 << 20  # bytes of one image


def header(file: BinaryIO, where: str) -> tuple[tuple[int, ...], Any]:
    """Shape and dtype of an array in NumPy's form; raises DataError for another form, or for objects."""
    try:
        version = form.read_magic(file)
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of headers that Python 2 wrote, which are read
            shape, fortran, kind = read(file)
    except (ValueError, EOFError, SyntaxError, TokenError) as error:
        found = re.sub(r" at 0x[0-9a-f]+", "", str(error))[:200]  # the same in every run
        raise DataError("not an array of NumPy", where=where, found=found) from error
    if fortran and len(shape) > 1:
        raise DataError("the array is stored column by column", where=where, fix="save a C-ordered copy")
    if kind.hasobject:
        raise DataError("the array holds pickled objects, which are never opened", where=where, found=kind)
    return shape, kind


def loaded(file: BinaryIO, where: str) -> Any:
    """A whole array in NumPy's form; raises DataError as `header` does."""
    shape, kind = header(file, where)
    return np.frombuffer(file.read(), kind).reshape(shape)


def records(
    stream: Stream, file: BinaryIO, shape: tuple[int, ...], kind: Any, beside: Mapping[str, Any]
) -> Iterator[Record | Rejected]:
    """One record an image: `image` (a PNG), and of each array in `beside` the value at its place.

    A value that is one whole number or word is text, for it names a class: MedMNIST has arrays of one.

    Raises:
        DataError: if this is not an array of images, the arrays differ in length, or the file is cut short.
    """
    size = prod(shape[1:]) * np.dtype(kind).itemsize
    if len(shape) not in (3, 4) or not 0 < size <= LARGEST:
        expected = "(images, height, width) or (images, height, width, channels)"
        raise DataError(
            "not an array of images", where=place(stream, 0), found=f"shape {shape}", expected=expected
        )
    stream.tally.unit, stream.tally.read = "rows", shape[0]
    for name, values in beside.items():
        if len(values) != shape[0]:
            what = f"there are not as many values of '{name}' as images"
            raise DataError(what, where=place(stream, 0), found=len(values), expected=shape[0])
    for number in range(shape[0]):
        where = place(stream, number + 1)
        data = file.read(size)
        if len(data) < size:
            raise DataError("a file of arrays is cut short", where=where)
        try:
            image = content(np.frombuffer(data, kind).reshape(shape[1:]))
        except DataError as error:
            yield rejected(where, error.reason, "")
            continue
        found = {name: np.asarray(values[number]) for name, values in beside.items()}
        fields = {name: _plain(value) if value.size == 1 else value for name, value in found.items()}
        yield Record({"image": image, **fields}, where)


def _plain(value: Any) -> Any:
    """A number or word as Python has it; of whole numbers and bytes the text."""
    one = value.ravel()[0].item()
    one = one.decode("utf-8", "replace") if isinstance(one, bytes) else one
    return str(one) if isinstance(one, int) else one
