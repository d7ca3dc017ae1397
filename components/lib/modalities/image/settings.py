"""Settings of each stage that only images have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting

ARCHITECTURES = ("cnn", "resnet", "vit", "mlp")
SIZES = ("nano", "micro", "tiny", "small", "base")


@dataclass(frozen=True)
class Ingestion:
    """Rules and near copies of images."""

    smallest: int = setting(8, "pixels that the shorter side has at least", minimum=1, maximum=10_000)
    longest: float = setting(8.0, "longer side in shorter sides, at most", minimum=1.0, maximum=1000.0)
    flat: int = setting(4, "range of grey values up to which an image shows nothing", minimum=0, maximum=255)
    range: tuple[float, ...] = setting(
        (), "values that become 0 to 255 of images of more than 8 bits, e.g. [0, 4095]; empty: by all of them"
    )
    near_duplicates: float = setting(
        0.995,
        "correlation, as pictures of 32 x 32, above which one image is dropped; 0: off",
        minimum=0,
        maximum=1,
    )

    def check(self) -> Iterator[ConfigError]:
        """Whether the range is one."""
        if self.range and not (len(self.range) == 2 and -math.inf < self.range[0] < self.range[1] < math.inf):
            expected = "[lowest, highest]"
            yield ConfigError("no range", where="ingestion.range", found=list(self.range), expected=expected)


@dataclass(frozen=True)
class Tokenization:
    """The one size of all images."""

    height: int = setting(32, "rows of pixels", minimum=1, maximum=4096)
    width: int = setting(32, "columns of pixels", minimum=1, maximum=4096)
    channels: int = setting(0, "1: grey, 3: colour; 0: grey if all images are", choices=(0, 1, 3))
    fit: str = setting(
        "crop",
        "the largest part of that shape, all of it with borders (pad), or out of shape (stretch)",
        choices=("crop", "pad", "stretch"),
    )
    canvas: str = setting(
        "", "URI of a trunk's preprocessor_config.json: its size, mean and deviation are taken"
    )
    shard_bytes: int = setting(256 << 20, "bytes from which on a shard is closed", minimum=1)


@dataclass(frozen=True)
class Pretraining:
    """Which network reads images, and how far two views of one image differ."""

    architecture: str = setting("cnn", "family of networks", choices=ARCHITECTURES)
    size: str = setting("small", "layers and width, by name", choices=SIZES)
    patch: int = setting(4, "side of the squares that a ViT reads", minimum=1, maximum=256)
    dropout: float = setting(0.0, "of a ViT's hidden states", minimum=0.0, maximum=0.9)
    crop: float = setting(0.2, "smallest share of the area that a view shows", minimum=0.01, maximum=1.0)
    flip: float = setting(0.5, "chance that a view is mirrored", minimum=0.0, maximum=1.0)
    jitter: float = setting(
        0.5, "strength of the changes of colour, 1 is SimCLR's", minimum=0.0, maximum=1.25
    )
    grey: float = setting(0.2, "chance that a view loses its colours", minimum=0.0, maximum=1.0)
    blur: float = setting(0.0, "chance that a view is blurred", minimum=0.0, maximum=1.0)
    rotation: float = setting(0.0, "largest angle of a view, in degrees", minimum=0.0, maximum=180.0)
    noise: float = setting(0.0, "largest deviation of noise on a view", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class Finetuning:
    """Branches read images at the size of their trunk: there is nothing to set."""
