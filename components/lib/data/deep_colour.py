"""Colours of 16 bits a channel, of which Pillow reads the upper eight: how the lower eight are read too."""

from __future__ import annotations

import sys
from typing import Any

from PIL import Image

BITS = 258  # BitsPerSample of a TIFF
OTHER = {
    "B": "L",
    "L": "B",
    "N": "B" if sys.byteorder == "little" else "L",
}  # order of the bytes -> the other


def is_cut(image: Image.Image, data: bytes) -> bool:
    """Whether Pillow cuts the values of an image to eight bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return False
    if image.format == "PNG":
        return data[24:25] == b"\x10"  # the depth that its header states
    return image.format == "TIFF" and max(image.tag_v2.get(BITS, (8,))) > 8  # type: ignore[attr-defined]


def is_plain(image: Image.Image) -> bool:
    """Whether the lower eight bits can be had as well: of colours without transparency."""
    return image.mode == "RGB" and not image.has_transparency_data


def take_lower(image: Any) -> None:
    """Makes Pillow decode the lower eight bits of each value, as if its bytes stood in the other order."""
    image.tile = [tile._replace(args=_turned(tile.args)) for tile in image.tile]


def _turned(arguments: Any) -> Any:
    """A decoder's arguments: the form of the pixels alone, or first, as in RGB;16B."""
    if isinstance(arguments, tuple):
        return (_turned(arguments[0]), *arguments[1:])
    form, _, order = str(arguments).partition(";16")
    return f"{form};16{OTHER.get(order, order)}"
