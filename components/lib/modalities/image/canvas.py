"""Canvas: the input size of an image network, how images are fitted to it, and its processor file."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from components.lib.core.errors import IntegrityError
from components.lib.data.images import Pixels, decode, identity, picture, png
from components.lib.data.masks import IGNORED, Indices

PROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class Canvas:
    """The one size of a network's images.

    Attributes:
        fit: the largest part that has the shape (crop), all of it with black borders (pad), or out of shape.
        mean, std: one a channel, of pixels as numbers from 0 to 1.
        range: values of images of more than 8 bits that become 0 to 255; () where none is known.
    """

    height: int
    width: int
    channels: int
    fit: str = "crop"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    range: tuple[float, ...] = ()

    def read(self, data: bytes) -> Pixels:
        """An image file on this canvas; raises DataError as `images.decode` does."""
        return self.pixels(decode(data, self.range))

    def pixels(self, pixels: Pixels) -> Pixels:
        """An image of any size on this canvas."""
        image = picture(pixels).convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = self._resized(image)
        return np.asarray(image, np.uint8).reshape(self.height, self.width, self.channels)

    def mask(self, mask: Indices) -> Indices:
        """(height, width) of numbers that belong to an image's pixels: none is mixed of two.

        The borders of `pad` are IGNORED.
        """
        size = (self.width, self.height)
        image = Image.fromarray(mask.astype(np.int32))
        if self.fit == "pad":
            image = ImageOps.pad(image, size, Image.Resampling.NEAREST, color=IGNORED)
        elif image.size != size:
            image = image.resize(size, Image.Resampling.NEAREST, self.box(image.height, image.width))
        return np.asarray(image).astype(np.uint16)

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The part of an image that fills the canvas: left, top, right, bottom; `pad` goes beyond it."""
        if self.fit == "stretch":
            return 0, 0, width, height
        sides = (width / self.width, height / self.height)
        scale = min(sides) if self.fit == "crop" else max(sides)
        across, down = scale * self.width, scale * self.height
        return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2

    def _resized(self, image: Image.Image) -> Image.Image:
        size = (self.width, self.height)
        if self.fit == "pad":
            return ImageOps.pad(image, size, Image.Resampling.BILINEAR)
        box = self.box(image.height, image.width)
        return image.resize(size, Image.Resampling.BILINEAR, box)

    def save(self, folder: Path) -> None:
        """Writes the file that image processors of `transformers` read.

        They crop to squares alone, and to whole pixels: else an image of another shape is stretched there.
        """
        size: dict[str, Any] = {"size": {"height": self.height, "width": self.width}}
        if self.fit == "crop" and self.height == self.width:
            size = {"size": {"shortest_edge": self.height}, "do_center_crop": True, "crop_size": size["size"]}
        values = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            **size,
            "resample": 2,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "trunkline": asdict(self),
        }
        (folder / PROCESSOR).write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")

    @classmethod
    def open(cls, folder: Path) -> Canvas:
        """Reads what `save` wrote."""
        return cls.parse((folder / PROCESSOR).read_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Canvas:
        """The canvas that the content of such a file describes."""
        values = json.loads(data)["trunkline"]
        lists = {name: tuple(values.get(name, ())) for name in ("mean", "std", "range")}
        return cls(**{**values, **lists})

    def probes(self) -> list[str]:
        """Fingerprints of made pictures on this canvas: they tell when a library decodes or resizes anew."""
        return [identity(self.pixels(decode(data))).hex() for data in _made()]

    def check(self, probes: list[str], where: str) -> None:
        """Raises IntegrityError if the probes come out other than when the corpus was brought to size."""
        found = self.probes()
        if found != probes:
            what = "images are not decoded or resized as they were for the trunk"
            fix = "use the pinned version of Pillow"
            raise IntegrityError(what, where=where, found=found, expected=probes, fix=fix)


def _made() -> list[bytes]:
    """A picture with edges and slopes, larger and smaller than most canvases, as PNG and as JPEG."""
    made = []
    for side in (11, 97):
        y, x = np.mgrid[:side, : side + 6]
        colours = [(x * 7 + y * 3) % 256, (x * y) % 256, np.where(x > y, 255, 16)]
        pixels = np.stack(colours, axis=2).astype(np.uint8)
        file = io.BytesIO()
        picture(pixels).save(file, "JPEG", quality=90)
        made += [png(pixels), png(pixels[:, :, :1]), file.getvalue()]
    return made
