"""Many small pictures in a report, and pixels as PNG files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.lib.pages.markup import Html, element, image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """(height, width, 1 or 3) as a PNG file; written here, as not every image of ours has Pillow."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def grid(items: Sequence[tuple[bytes, object]], *, strips: bool = False) -> Html:
    """PNG files with their captions, as many in a row as fit; small ones, or strips of several."""
    cells = [
        element("figure", image(data, caption), element("figcaption", caption) if caption else None)
        for data, caption in items
    ]
    return element("div", *cells, class_="pictures strips" if strips else "pictures")
