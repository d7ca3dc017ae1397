"""Settings of each stage that only images have."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting

ARCHITECTURES = ("cnn", "resnet", "vit", "mlp")
SIZES = ("nano", "micro", "tiny", "small", "base")


@dataclass(frozen=True)
class Pretraining:
    """Which network reads images, and how far two views of one image differ."""

    architecture: str = setting("cnn", "family of networks", choices=ARCHITECTURES)
    size: str = setting("small", "layers and width, by name", choices=SIZES)
    patch: int = setting(4, "side of the squares that a ViT reads", minimum=1, maximum=256)
    dropout: float = setting(0.0, "of a ViT's hidden states and attention", minimum=0.0, maximum=0.9)
    crop: float = setting(0.2, "smallest share of the area that a view shows", minimum=0.01, maximum=1.0)
    flip: float = setting(0.5, "chance that a view is mirrored", minimum=0.0, maximum=1.0)
    jitter: float = setting(
        0.5, "strength of the changes of colour, 1 is SimCLR's", minimum=0.0, maximum=1.25
    )
    grey: float = setting(0.2, "chance that a view loses its colours", minimum=0.0, maximum=1.0)
    blur: float = setting(0.0, "chance that a view is blurred", minimum=0.0, maximum=1.0)
    rotation: float = setting(0.0, "largest angle of a view, in degrees", minimum=0.0, maximum=180.0)
    noise: float = setting(0.0, "largest deviation of noise on a view", minimum=0.0, maximum=1.0)
