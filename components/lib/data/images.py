"""Image decoding within limits: bytes of files, or arrays, to pixels; PNGs and identities of pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from components.lib.core.errors import DataError
from components.lib.data import exif

Pixels = npt.NDArray[np.uint8]  # (height, width, channels): grey is 1, colour is 3

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
    """A field of a record as the bytes of an image file; what has pixels only becomes a PNG.

    Args:
        value: bytes, an array or nested lists of numbers from 0 to 255, or `{"bytes": ..., "path": ...}`, as
            `datasets` has it.

    Raises:
        DataError: if it is something else.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | np.ndarray):
        return png(_array(value))
    what = "the image is not in the record" if value is None else "a value is no image"
    raise DataError(what, found=type(value).__name__, expected="bytes, an array, or {bytes, path}")


def png(pixels: Pixels) -> bytes:
    """The pixels as a PNG file."""
    file = io.BytesIO()
    picture(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def decode(data: bytes) -> Pixels:
    """The pixels of an image file: upright, without transparency, of an animation the first frame.

    Raises:
        DataError: if it is broken, cut short, too large, or of a format that is not read.
    """
    return decoded(data, plain).array


@dataclass(frozen=True)
class Decoded:
    """What stands in an image file, upright.

    Attributes:
        array: (height, width) or (height, width, channels).
        orientation: by which it was turned, as EXIF numbers them.
        damaged: whether its EXIF is broken; what of it can be read counts.
    """

    array: npt.NDArray[Any]
    orientation: int = 1
    damaged: bool = False


def decoded(
    data: bytes, convert: Callable[[Image.Image], npt.NDArray[Any]], formats: tuple[str, ...] = FORMATS
) -> Decoded:
    """An image file by `convert`, which gets Pillow's image, loaded; raises DataError as `decode` does."""
    _strict()
    if data[:2] == b"\xff\xd8" and data.count(SCAN) > MOST_SCANS:
        expected = f"at most {MOST_SCANS}"
        raise DataError("a JPEG has too many scans", found=f"{data.count(SCAN)}", expected=expected)
    try:
        with _opened(data, formats) as (image, orientation, damaged):
            array = convert(image)
            turned = (
                array if image.format == "TIFF" else exif.upright(array, orientation)
            )  # Pillow turns TIFF
            return Decoded(np.ascontiguousarray(turned), orientation, damaged)
    except UnidentifiedImageError as error:  # its text holds an address of memory
        expected = ", ".join(formats)
        raise DataError("an image cannot be decoded", found=repr(data[:16]), expected=expected) from error
    except BROKEN as error:
        found = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError("an image cannot be decoded", found=found) from error


@contextmanager
def _opened(data: bytes, formats: tuple[str, ...]) -> Iterator[tuple[Image.Image, int, bool]]:
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


def identity(pixels: Pixels) -> bytes:
    """128 bits of what an image shows, however its file is compressed."""
    digest = blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(pixels.tobytes())
    return digest.digest()


@cache
def _strict() -> None:
    """Makes errors of what Pillow only warns of, for good: threads share the filters of warnings."""
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    for category in (UserWarning, RuntimeWarning):
        warnings.filterwarnings("error", category=category, module=r"PIL(\.|$)")


def _array(value: Any) -> Pixels:
    """An array as (height, width, channels) of bytes; raises DataError if it is no image."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError("a value is no image", found=str(error)) from error
    array = array[:, :, None] if array.ndim == 2 else array
    whole = array.dtype.kind in "iub" or (array.dtype.kind == "f" and bool((array == np.floor(array)).all()))
    if array.ndim != 3 or array.shape[2] not in (1, 3) or not whole or not array.size:
        found = f"{array.dtype} {array.shape}"
        raise DataError(
            "a value is no image", found=found, expected="(height, width, 1 or 3) of whole numbers"
        )
    if array.min() < 0 or array.max() > 255:
        raise DataError(
            "pixels are out of range", found=f"{array.min()} to {array.max()}", expected="0 to 255"
        )
    return array.astype(np.uint8)


def plain(image: Image.Image) -> Pixels:
    """Grey or colour, eight bits: sixteen are cut to the upper eight, transparency is laid on white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        wide = np.asarray(image).astype(np.int64)
        return (wide >> 8 if wide.max(initial=0) > 255 else wide).clip(0, 255).astype(np.uint8)[:, :, None]
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        grey = np.asarray(image)
        same = (grey[:, :, 0] == grey[:, :, 1]).all() and (grey[:, :, 0] == grey[:, :, 2]).all()
        return np.asarray(image.convert("L" if same else "RGB")).reshape(*grey.shape[:2], -1)
    grey_modes = ("1", "L")
    image = image.convert("L" if image.mode in grey_modes else "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1)
