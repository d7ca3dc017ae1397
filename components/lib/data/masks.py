"""Segmentation masks: one class number a pixel, read as indices, never through code for photographs."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.lib.core.errors import DataError
from components.lib.data import exif, images
from components.lib.data.classes import Unlabelled

Indices = npt.NDArray[np.uint16]  # (height, width)

IGNORED = 65_535  # of a pixel without a class, in masks as they are kept
FORMATS = ("PNG", "GIF", "BMP", "TIFF", "PPM")  # those that change no number
EXPECTED = "one whole number a pixel: a grey or palette image of a lossless format, or an array"


def read(
    value: Any, image: bytes, ignore: Collection[int] = (), frame: str = "stored"
) -> tuple[Indices, str]:
    """A mask that fits an image, upright as it is; pixels of the numbers `ignore` are IGNORED.

    The numbers of a palette image are its indices, whatever their colours and transparency.

    Args:
        value: a file, an array, nested lists, or `{"bytes": ..., "path": ...}`.
        image: the file of the image.
        frame: of an image that EXIF turns, a mask of its shape, without a tag of its own, belongs to the
            picture as it is "stored" and is turned with it, or to the "upright" one; else its shape tells.

    Returns:
        The mask, and what is to be told of it, or ''.

    Raises:
        Unlabelled: if there is no mask, or none of its pixels has a class.
        DataError: if it does not fit, or holds something else.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if value is None:
        raise Unlabelled("there is no mask", found="None")
    own = (
        images.decoded(value, _numbers, FORMATS)
        if isinstance(value, bytes)
        else images.Decoded(_array(value))
    )
    seen = images.values(image)
    turned = seen.orientation if own.orientation == 1 else 1
    mask, note = _upright(own.array, seen.array.shape[:2], turned, frame)
    return _checked(mask, ignore), note


def _upright(
    mask: npt.NDArray[Any], size: tuple[int, ...], turned: int, frame: str
) -> tuple[npt.NDArray[Any], str]:
    """The mask of an image of this size, and how it was taken if EXIF turns the image."""
    note = ""
    if turned != 1:
        choices = {"stored": exif.upright(mask, turned), "upright": mask}
        taken = next((name for name in (frame, *choices) if choices[name].shape == size), "upright")
        mask, note = choices[taken], f"images are turned upright by EXIF: their masks are taken as {taken}"
    if mask.shape != size:
        found = f"{' x '.join(map(str, mask.shape))} for {' x '.join(map(str, size))}"
        raise DataError("the mask does not fit the image", found=found, expected="one class a pixel")
    return mask, note


def _checked(mask: npt.NDArray[Any], ignore: Collection[int]) -> Indices:
    left_out = np.isin(mask, list(ignore))
    if left_out.all():
        raise Unlabelled("no pixel of the mask has a class", found=f"only {sorted(set(mask.flat))}")
    numbers = mask[~left_out]
    if numbers.min() < 0 or numbers.max() >= IGNORED:
        found, expected = f"{numbers.min()} to {numbers.max()}", f"0 to {IGNORED - 1}"
        fix = "name numbers without a class in the setting `ignore` of the task"
        raise DataError("a mask holds numbers of no class", found=found, expected=expected, fix=fix)
    return np.where(left_out, IGNORED, mask.astype(np.int64)).astype(np.uint16)


def _numbers(image: Image.Image) -> npt.NDArray[Any]:
    """(height, width) of Pillow's image; one in colours is a mask if all its channels are equal."""
    if image.mode in ("P", "1", "L", "I", "F") or image.mode.startswith("I;16"):
        return _array(np.asarray(image).astype(np.uint8) if image.mode == "1" else np.asarray(image))
    channels = np.asarray(image)
    colours = channels if image.mode in ("RGB", "RGBA", "LA") else channels[:0, :0]
    colours = colours[:, :, : {"LA": 1, "RGBA": 3}.get(image.mode, 3)]
    if not colours.size or (colours != colours[:, :, :1]).any():
        fix = "write class numbers instead of colours, or save with a palette"
        raise DataError("a mask is a picture in colours", found=image.mode, expected=EXPECTED, fix=fix)
    return colours[:, :, 0]


def _array(value: Any) -> npt.NDArray[Any]:
    """An array of whole numbers as (height, width)."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError("a value is not a mask", found=str(error)[:200], expected=EXPECTED) from error
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    whole = array.dtype.kind in "iub" or (
        array.dtype.kind == "f" and bool(((array == np.floor(array)) & (np.abs(array) < 2**31)).all())
    )
    if array.ndim != 2 or not whole or not array.size:
        raise DataError("a value is not a mask", found=f"{array.dtype} {array.shape}", expected=EXPECTED)
    return array if array.dtype.kind in "iu" else array.astype(np.int64)


def png(mask: Indices) -> bytes:
    """As a PNG of 16 bits, or of 8 where that is enough: numbers are kept."""
    file = io.BytesIO()
    small = mask.max(initial=0) < 256
    Image.fromarray(mask.astype(np.uint8) if small else mask).save(file, "PNG", compress_level=1)
    return file.getvalue()


def load(data: bytes) -> Indices:
    """What `png` wrote."""
    return images.decoded(data, np.asarray).array.astype(np.uint16)
