"""Image decoding within limits: bytes of files, or arrays, to pixels; PNGs and identities of pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as form
from PIL import Image, UnidentifiedImageError

from components.lib.core.errors import DataError
from components.lib.data import deep_colour, exif
from components.lib.data.pixel_range import Range, scaled

Pixels = npt.NDArray[np.uint8]  # (height, width, channels): grey is 1, colour is 3

NUMPY = b"\x93NUMPY"
ARRAY = (
    "(height, width) or (height, width, 1 or 3): whole numbers from 0 to 255, or an array of another type of "
    "whole numbers or fractions"
)
MOST_PIXELS = 64_000_000  # of an image: 192 MB of memory
SCAN, MOST_SCANS = b"\xff\xda", 100  # of a JPEG: each is work for the whole image, however few its bytes
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # no format that runs another program
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    OverflowError,
    TypeError,
    MemoryError,
    Warning,
    Image.DecompressionBombError,
)


def content(value: Any) -> bytes:
    """A field of a record as the bytes of an image file.

    An array of bytes, or of what has no type, becomes a PNG; of two values, one of 0 and 255; one of another
    type stays an array in NumPy's form, so that its values are kept.

    Args:
        value: bytes, an array, nested lists of whole numbers from 0 to 255, or `{"bytes": ..., "path": ...}`,
            as `datasets` has it.

    Raises:
        DataError: if it is something else.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | np.ndarray):
        array = _array(value)
        return png(array) if array.dtype == np.uint8 else _kept(array)
    what = "the image is not in the record" if value is None else "a value is not an image"
    raise DataError(what, found=type(value).__name__, expected="bytes, an array, or {bytes, path}")


def png(pixels: Pixels) -> bytes:
    """The pixels as a PNG file."""
    file = io.BytesIO()
    picture(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def decode(data: bytes, limits: Range = ()) -> Pixels:
    """The pixels of an image file: upright, without transparency, of an animation the first frame.

    Args:
        limits: the range of values that become 0 to 255, if it has more than 8 bits.

    Raises:
        DataError: if it is broken, cut short, too large, of a format that is not read, or has no range.
    """
    return scaled(values(data).array, limits)


def values(data: bytes) -> Decoded:
    """An image file as (height, width, 1 or 3) uint8, uint16, int32 or float32: its values as they are.

    Raises:
        DataError: as `decode` does, and if no value is finite.
    """
    found = Decoded(_array(_loaded(data))) if data.startswith(NUMPY) else decoded(data, _values)
    if found.whole:
        lower = decoded(data, plain, lower=True).array
        deep = found.array.astype(np.uint16) << 8 | lower
        found = replace(found, array=deep, deeper=False)
    if found.array.dtype.kind == "f" and not np.isfinite(found.array).any():
        raise DataError("no pixel of an image is a number", found="nan or infinite", expected="finite values")
    return found


@dataclass(frozen=True)
class Decoded:
    """What stands in an image file, upright.

    Attributes:
        array: (height, width) or (height, width, channels).
        orientation: by which it was turned, as EXIF numbers them.
        damaged: whether its EXIF is broken; what of it can be read counts.
        deeper: whether its colours have 16 bits, of which the upper eight stand here.
        whole: whether the lower eight can be had.
    """

    array: npt.NDArray[Any]
    orientation: int = 1
    damaged: bool = False
    deeper: bool = False
    whole: bool = False


def decoded(
    data: bytes,
    convert: Callable[[Image.Image], npt.NDArray[Any]],
    formats: tuple[str, ...] = FORMATS,
    *,
    lower: bool = False,
) -> Decoded:
    """An image file by `convert`, which gets Pillow's image, loaded; raises DataError as `decode` does.

    Args:
        lower: of colours of 16 bits, the lower eight.
    """
    _strict()
    if data[:2] == b"\xff\xd8" and data.count(SCAN) > MOST_SCANS:
        expected = f"at most {MOST_SCANS}"
        raise DataError("a JPEG has too many scans", found=f"{data.count(SCAN)}", expected=expected)
    try:
        with _opened(data, formats, lower) as (image, orientation, damaged):
            array = convert(image)
            if image.format != "TIFF":  # which Pillow turns
                array = np.ascontiguousarray(exif.upright(array, orientation))
            cut = deep_colour.is_cut(image, data)
            return Decoded(array, orientation, damaged, cut, cut and deep_colour.is_plain(image))
    except UnidentifiedImageError as error:  # its text holds an address of memory
        expected = ", ".join(formats)
        raise DataError("an image cannot be decoded", found=repr(data[:16]), expected=expected) from error
    except BROKEN as error:
        found = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError("an image cannot be decoded", found=found) from error


@contextmanager
def _opened(data: bytes, formats: tuple[str, ...], lower: bool) -> Iterator[tuple[Image.Image, int, bool]]:
    """Pillow's image, loaded; its EXIF orientation; whether its EXIF is broken, which costs no pixel."""
    told, damaged = b"", False
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except Warning:
        plain, told = exif.stripped(data)
        if plain == data:
            raise
        image, damaged = Image.open(io.BytesIO(plain), formats=formats), True
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise DataError("an image is too large", found=f"{width} x {height} pixels")
        orientation = image.getexif().get(exif.ORIENTATION, 1) if image.format == "TIFF" else 1
        if lower:
            deep_colour.take_lower(image)
        image.load()  # which turns a TIFF
        try:
            orientation = orientation if image.format == "TIFF" else image.getexif().get(exif.ORIENTATION, 1)
        except BROKEN:
            damaged = True
        if damaged:
            orientation = exif.orientation(told or image.info.get("exif", b""))
        yield image, orientation if orientation in range(1, 9) else 1, damaged


def picture(pixels: Pixels) -> Image.Image:
    """Pillow's form."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def thumbnail(pixels: Pixels, side: int) -> bytes:
    """A PNG whose longer side has at most so many pixels."""
    small = picture(pixels)
    small.thumbnail((side, side))
    return png(plain(small))


def identity(pixels: npt.NDArray[Any]) -> bytes:
    """128 bits of what an image shows, however its file is compressed; of deep ones, whatever their type."""
    digest = blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update((pixels if pixels.dtype == np.uint8 else pixels.astype("<f8")).tobytes())
    return digest.digest()


@cache
def _strict() -> None:
    """Makes errors of what Pillow only warns of, for good: threads share the filters of warnings."""
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    for category in (UserWarning, RuntimeWarning):
        warnings.filterwarnings("error", category=category, module=r"PIL(\.|$)")


def _array(value: Any) -> npt.NDArray[Any]:
    """An array (height, width, channels) of a type that is kept; raises DataError if it is not an image."""
    typed = isinstance(value, np.ndarray)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError("a value is not an image", found=str(error), expected=ARRAY) from error
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size or array.dtype.kind not in "iufb":
        fix = "move the axis of channels to the end" if array.ndim == 3 and len(array) in (1, 3) else ""
        raise DataError(
            "a value is not an image", found=f"{array.dtype} {array.shape}", expected=ARRAY, fix=fix
        )
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)  # as Pillow reads images of one bit
    if array.dtype.kind == "f":
        if typed:
            return array.astype(np.float32)
        if not (array == np.floor(array)).all():
            raise DataError("a value is not an image", found=f"{array.dtype} {array.shape}", expected=ARRAY)
    low, high = array.min(), array.max()
    if not typed and (low < 0 or high > 255):
        raise DataError("pixels are out of range", found=f"{low} to {high}", expected=ARRAY)
    if not typed or array.dtype == np.uint8:
        return array.astype(np.uint8)
    kind = next(
        (kind for kind in (np.uint16, np.int32) if np.iinfo(kind).min <= low <= high <= np.iinfo(kind).max),
        None,
    )
    if kind is None:
        raise DataError("pixels are out of range", found=f"{low} to {high}", expected="32 bits")
    return array.astype(kind)


def _kept(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _loaded(data: bytes) -> npt.NDArray[Any]:
    """What `_kept` wrote, or somebody else."""
    file = io.BytesIO(data)
    try:
        version = form.read_magic(file)
        shape, fortran, kind = (
            form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        )(file)
        rest = data[file.tell() :]
        if fortran or kind.hasobject or len(shape) not in (2, 3) or len(rest) != prod(shape) * kind.itemsize:
            raise ValueError(f"{kind} {shape} of {len(rest):,} bytes")
    except (ValueError, EOFError, SyntaxError) as error:
        raise DataError("an image cannot be decoded", found=str(error)[:200], expected=ARRAY) from error
    if prod(shape[:2]) > MOST_PIXELS:
        raise DataError("an image is too large", found=f"{shape[1]} x {shape[0]} pixels")
    return np.frombuffer(rest, kind).reshape(shape)


def _values(image: Image.Image) -> npt.NDArray[Any]:
    kinds = {"I": np.int32, "F": np.float32}
    if image.mode in kinds or image.mode.startswith("I;16"):
        return np.asarray(image).astype(kinds.get(image.mode, np.uint16))[:, :, None]
    return plain(image)


def plain(image: Image.Image) -> Pixels:
    """Grey or colour, eight bits; transparency is laid on white."""
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        grey = np.asarray(image)
        same = (grey[:, :, 0] == grey[:, :, 1]).all() and (grey[:, :, 0] == grey[:, :, 2]).all()
        return np.asarray(image.convert("L" if same else "RGB")).reshape(*grey.shape[:2], -1)
    grey_modes = ("1", "L")
    image = image.convert("L" if image.mode in grey_modes else "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1)
