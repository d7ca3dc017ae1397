"""Pairs' trunk: an image trunk and a text trunk, and their projections to one space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from components.lib.modalities.image import trunk as image
from components.lib.modalities.pairs import network
from components.lib.modalities.pairs.network import DualEncoder, DualEncoderConfig
from components.lib.modalities.text import trunk as text
from components.lib.models import loading

network.register()


class Trunk(nn.Module):
    """A dual encoder whose texts come packed.

    Attributes:
        model, width: the dual encoder, and the length of its vectors.
    """

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model: Any = model
        self.width: int = model.config.projection
        towers = (image.Trunk(model.image), text.of(model.text))
        self._towers: tuple[Any, Any] = towers  # in a tuple: their weights are the model's already

    def forward(self, pair: Any) -> tuple[Tensor, Tensor]:
        """(n, width) of the images, and (n, width) of their captions, not yet of length 1."""
        images, texts = self._towers
        pictures = images.pool(images(pair.images), pair.images)
        words = texts.pool(texts(pair.texts), pair.texts)
        return self.model.to_image(pictures.float()), self.model.to_text(words.float())

    def pool(self, hidden: tuple[Tensor, Tensor], pair: Any = None) -> Tensor:
        """(n, width): the mean of an image's vector and its caption's."""
        first, second = (nn.functional.normalize(one.float(), dim=1) for one in hidden)
        return (first + second) / 2

    def save(self, folder: Path) -> None:
        """Writes the projections and both towers."""
        loading.save(self.model, folder)


def load(folder: Path, dropout: float | None = None) -> Trunk:
    """A trunk from a folder that `Trunk.save` wrote; raises DataError if weights are not those of a config.

    Args:
        dropout: unused: each tower has the rate of its own config.
    """
    return Trunk(loading.trunk(folder))


def built(image: Any, text: Any, projection: int) -> Trunk:
    """A trunk of two models, and random projections."""
    config = DualEncoderConfig(_plain(image.config), _plain(text.config), projection)
    return Trunk(DualEncoder(config, {"image": image, "text": text}))


def _plain(config: Any) -> dict[str, Any]:
    """What of a config differs from its kind's defaults, which names the kind too."""
    return {**config.to_diff_dict(), "model_type": config.model_type}
