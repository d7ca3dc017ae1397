"""EXIF orientation of an image file, also where other tags are broken; arrays and boxes turned by it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

ORIENTATION, SHORT = 0x0112, 3
EXIF, MPF = b"Exif\0\0", b"MPF\0"


def orientation(exif: bytes) -> int:
    """1 to 8, as EXIF numbers them; 1, upright, where it is not told."""
    data = exif.removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    try:
        if order is None:
            return 1
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        for number in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", data, at + 2 + 12 * number)
            if tag == ORIENTATION and kind == SHORT and 1 <= value <= 8:
                return int(value)
    except struct.error:
        pass
    return 1


def stripped(data: bytes) -> tuple[bytes, bytes]:
    """A JPEG file without EXIF and the index of other pictures behind it; and that EXIF.

    Any other file is returned as it is.
    """
    kept, exif, at = [data[:2]], b"", 2
    while (
        data[:2] == b"\xff\xd8"
        and data[at : at + 1] == b"\xff"
        and data[at + 1 : at + 2] not in (b"\xda", b"")
    ):
        (size,) = struct.unpack_from(">H", data, at + 2) if len(data) >= at + 4 else (0,)
        segment = data[at : at + 2 + max(size, 2)]
        if segment[1:2] == b"\xe1" and segment[4:].startswith(EXIF):
            exif = exif or segment[4:]
        elif not (segment[1:2] == b"\xe2" and segment[4:].startswith(MPF)):
            kept.append(segment)
        at += len(segment)
    return b"".join([*kept, data[at:]]) if at > 2 else data, exif


def upright(array: np.ndarray[Any, Any], turned: int) -> np.ndarray[Any, Any]:
    """(height, width, ...) as stored -> as it is meant to be seen."""
    if turned in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if turned in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array[::-1] if turned in (3, 4, 7, 8) else array


def upright_box(
    box: tuple[float, float, float, float], height: int, width: int, turned: int
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in a stored picture of this size -> in the upright one."""
    (left, top, right, bottom), (across, down) = box, (width, height)
    if turned in (5, 6, 7, 8):
        left, top, right, bottom, across, down = top, left, bottom, right, down, across
    if turned in (2, 3, 6, 7):
        left, right = across - right, across - left
    if turned in (3, 4, 7, 8):
        top, bottom = down - bottom, down - top
    return left, top, right, bottom
