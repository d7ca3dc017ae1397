"""Images: small pictures."""

from __future__ import annotations

import base64

from components.lib.data import images

COLUMN = "image"
SIDE = 96  # pixels of the longer side


def excerpt(value: bytes) -> tuple[str, str]:
    """As `picture`: a PNG in base64."""
    return "picture", base64.b64encode(images.thumbnail(images.decode(value), SIDE)).decode()
