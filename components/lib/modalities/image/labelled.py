"""Labelled images as a branch reads them: at the trunk's size, by probes that check how it was reached."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.images import Pixels
from components.lib.data.pixel_range import beyond, check
from components.lib.modalities.image.canvas import Canvas

if TYPE_CHECKING:
    from components.lib.data.formats import Record
    from components.lib.modalities.image.settings import Finetuning

THUMBNAIL = 96  # pixels of the longer side of an image in a report


class Reader:
    """Image files to pixels of the trunk's size."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._last: tuple[bytes, images.Decoded] | None = None

    @classmethod
    def open(cls, folder: Path, options: Finetuning | None = None) -> Self:
        """The canvas of a trunk or a branch."""
        return cls(Canvas.open(folder))

    def check(self, facts: Mapping[str, Any], where: str) -> None:
        """Raises IntegrityError if the probes of the tokens' facts come out other than then."""
        self.canvas.check(facts["probes"], where)

    def value(self, record: Record, name: str, tell: Callable[[str], None], role: str = "") -> bytes:
        """The bytes of the file; raises DataError if they are no image, or of a depth without range."""
        data = images.content(record.required(name))
        found = self._values(data)
        check(found.array, self.canvas.range)
        if beyond(found.array, self.canvas.range):
            low, high = self.canvas.range
            tell(f"images have values beyond the trunk's range, {low:g} to {high:g}: they are cut off")
        if found.damaged:
            tell("images have broken EXIF: they are kept")
        return data

    def identity(self, inputs: Mapping[str, bytes]) -> str:
        """32 hex digits of the pixels; raises DataError if they cannot be decoded."""
        return images.identity(self._values(next(iter(inputs.values()))).array).hex()

    def _values(self, data: bytes) -> images.Decoded:
        """Those of the last file are kept: each is asked for twice."""
        if self._last is None or self._last[0] is not data:
            self._last = data, images.values(data)
        return self._last[1]

    def sized(self, files: Sequence[bytes]) -> Pixels:
        """(n, height, width, channels) of the canvas."""
        if not files:
            return np.empty((0, self.canvas.height, self.canvas.width, self.canvas.channels), np.uint8)
        return np.stack([self.canvas.read(data) for data in files])

    def tensors(self, files: Sequence[bytes]) -> dict[str, Any]:
        """Arguments of a pass of the trunk."""
        import torch

        from components.lib.modalities.image.examples import Framed

        return Framed(torch.from_numpy(self.sized(files)), (), self.canvas).arguments()

    def served(self, values: Sequence[Any], role: str = "") -> list[bytes]:
        """What a server was sent, bytes or base64 text, as files; raises DataError."""
        try:
            return [v if isinstance(v, bytes) else base64.b64decode(v, validate=True) for v in values]
        except (binascii.Error, TypeError, ValueError) as error:
            expected = "bytes of an image file, or their base64"
            raise DataError("an input is not an image", found=str(error), expected=expected) from error

    def excerpt(self, value: bytes) -> dict[str, str]:
        """How a report shows an input: a small PNG in base64."""
        small = images.thumbnail(images.decode(value, self.canvas.range), THUMBNAIL)
        return {"picture": base64.b64encode(small).decode()}

    def save(self, folder: Path) -> None:
        """Adds the file of image processors to a branch."""
        self.canvas.save(folder)
