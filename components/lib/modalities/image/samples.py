"""Samples of pre-training on images: arrays of pixels in, augmented views out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.lib.core.errors import ConfigError, DataError
from components.lib.engine.randomness import Draw
from components.lib.engine.transfer import moved
from components.lib.modalities.image.augmentation import Recipe, Strength, recipe
from components.lib.modalities.image.pictures import Picture, grid, neighbours, scattered
from components.lib.modalities.image.pixels import PixelShards
from components.lib.modalities.image.settings import Pretraining
from components.lib.modalities.image.trunk import Trunk, built, load
from components.lib.modalities.image.views import Frame, View
from components.lib.models.vision.architectures import ARCHITECTURES, Dials
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

SHOWN, MAPPED = 12, 1024  # images in a row of a picture, and on a map


class Images:
    """Samples of one split, and views of them.

    Args:
        shards: len, gather, height, width, channels, mean, std and fresh.
    """

    def __init__(self, config: Pretraining, shards: Any) -> None:
        self.config, self.shards = config, shards
        self.fresh: int = shards.fresh  # samples that are not of older tokens
        self.frame = Frame(tuple(map(float, shards.mean)), tuple(map(float, shards.std)))
        self.strength = Strength(
            crop=config.crop,
            flip=config.flip,
            jitter=config.jitter,
            grey=config.grey,
            blur=config.blur,
            rotation=config.rotation,
            noise=config.noise,
        )
        self.flops = 0.0  # of one image, forward and backward

    def __len__(self) -> int:
        return len(self.shards)

    def view(self, draw: Draw, stream: str, strength: Strength | None = None) -> View:
        """Each image once, as it is stored unless a strength is given."""
        return self._view(self._stored(draw), draw, stream, strength or Strength())

    def views(self, draw: Draw, count: int) -> list[View]:
        """`count` independent augmentations of each image, for a contrastive loss."""
        images = self._stored(draw)
        return [self._view(images, draw, f"view {number}", self.strength) for number in range(count)]

    def trunk(self, folder: Path | None = None) -> Trunk:
        """The trunk in a folder, or a new one with random weights.

        Raises:
            ConfigError: if it reads images of another size, or its patches do not fill these.
        """
        shards = self.shards
        shape = (shards.channels, shards.height, shards.width)
        trunk = self._built() if folder is None else load(folder, dropout=self.config.dropout)
        if trunk.shape != shape:
            raise ConfigError(
                "the trunk to start from reads images of another size",
                where="tokenization",
                found=shape,
                expected=trunk.shape,
                fix="leave out height, width and channels",
            )
        self.flops = 3.0 * _forward_flops(trunk, (1, *shape))
        return trunk

    def _built(self) -> Trunk:
        shards, config = self.shards, self.config
        if config.architecture == "vit" and (shards.height % config.patch or shards.width % config.patch):
            raise ConfigError(
                "the patches do not fill the images",
                where="pretraining.trunk.patch",
                found=config.patch,
                expected=f"a divisor of {shards.height} and {shards.width}",
            )
        dials = Dials(config.size, shards.height, shards.width, shards.channels, config.patch, config.dropout)
        return built(ARCHITECTURES[config.architecture](dials))

    @torch.no_grad()
    def pictures(self, trunk: Trunk, draw: Draw) -> list[Picture]:
        """Views, a map of the features, and nearest neighbours by them, of the first samples of `draw`."""
        part = draw.part(0, SHOWN)
        device = next(trunk.parameters()).device
        chunks = [draw.part(at, at + 256) for at in range(0, min(len(draw), MAPPED), 256)]
        views = [moved(self.view(chunk, "picture"), device) for chunk in chunks]
        features = torch.cat([trunk.pool(trunk(view), view).float() for view in views])
        images = torch.cat([view.plain() for view in views])
        shown = [self.view(part, "picture").plain(), *(view.plain() for view in self.views(part, 3))]
        plane, near = scattered(images, features), neighbours(images, features, 8, SHOWN - 1)
        return [
            Picture("Views", grid(shown), "above: images as they are stored, below: three views of each"),
            Picture("Map", plane, "features of held-out images on their two largest principal components"),
            Picture(
                "Nearest neighbours", near, "left: a held-out image, then those with the nearest features"
            ),
        ]

    def _stored(self, draw: Draw) -> Tensor:
        return torch.from_numpy(self.shards.gather(draw.ids))

    def _view(self, images: Tensor, draw: Draw, stream: str, strength: Strength) -> View:
        chosen = recipe(strength, draw, stream, self.shards.channels) if strength != Strength() else Recipe()
        return View(images, chosen, self.frame, {}, self.flops * len(images))


def open_split(config: Pretraining, store: Store, tokens: Manifest, split: str, *older: Manifest) -> Images:
    """The samples of a split, those of older ones last; raises DataError if there is none."""
    images = Images(config, PixelShards(store, tokens, split, *older))
    if not len(images):
        fix = "ingest more images, or filter fewer of them"
        raise DataError(f"the {split} split has no samples", where=tokens.uri, fix=fix)
    return images


def _forward_flops(trunk: Trunk, shape: tuple[int, ...]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trunk.eval().read(torch.zeros(shape))
    trunk.train()
    return float(counter.get_total_flops())
