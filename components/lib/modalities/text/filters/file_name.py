"""File-name filter: alt texts that are the name of a file, as cameras and content systems write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.modalities.text.words import Document

NAME = re.compile(r"[^\n]{1,255}\.[A-Za-z][A-Za-z0-9]{1,4}")
CAMERA = re.compile(r"(img|dsc|dscn|dscf|pict|image|photo|screenshot)?[-_ ]?[0-9][0-9_\-]{2,}", re.I)


@dataclass(frozen=True)
class Config:
    """Which endings are those of files."""

    endings: tuple[str, ...] = setting(
        ("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff", "svg", "heic", "pdf", "mp4"),
        "endings that make a text the name of a file",
    )


def reason(document: Document, config: Config) -> str | None:
    """The whole text must be one: a sentence that ends with a name is none."""
    text = document.text.strip()
    if NAME.fullmatch(text) and " " not in text and text.rpartition(".")[2].lower() in config.endings:
        return "it is the name of a file"
    return "it is the number of a picture" if CAMERA.fullmatch(text) else None
