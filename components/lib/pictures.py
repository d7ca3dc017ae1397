"""Pictures in reports: pixels as `data:` URIs, which load nothing, in rows with captions."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.lib.markup import Html, concat, element, escape

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SIDE = 96  # pixels on the page of the longer side, at least


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


def picture(data: bytes, alternative: str = "", side: int = SIDE) -> Html:
    """A PNG file as an element, enlarged without smoothing to at least `side` pixels.

    Raises:
        ValueError: if it is no PNG.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError("a report shows PNG pictures only")
    width, height = struct.unpack(">II", data[16:24])
    scale = max(1.0, side / max(width, height, 1))
    size = f'width="{round(width * scale)}" height="{round(height * scale)}"'
    text = base64.b64encode(data).decode()
    return Html(f'<img class="pixels" {size} alt="{escape(alternative)}" src="data:image/png;base64,{text}">')


def grid(items: Sequence[tuple[bytes, object]], side: int = SIDE) -> Html:
    """PNG files with their captions, as many in a row as fit."""
    cells = [
        element(
            "figure", picture(data, str(caption), side), element("figcaption", caption) if caption else None
        )
        for data, caption in items
    ]
    return element("div", concat(*cells), class_="pictures")
