"""Samples of pre-training on pairs: an image with one of its captions, drawn anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.core.errors import DataError
from components.lib.engine.randomness import Draw, Ints
from components.lib.engine.trainable import PerSample
from components.lib.modalities.image import samples as image
from components.lib.modalities.image.pictures import Picture, grid
from components.lib.modalities.image.views import View
from components.lib.modalities.pairs.settings import Pretraining
from components.lib.modalities.pairs.trunk import Trunk, built, load
from components.lib.modalities.text import samples as text
from components.lib.modalities.text.tokens import TokenShards
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

SHOWN, GALLERY, FOUND = 6, 256, 8  # queries, held-out pairs, and images found for each, in a picture
PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Pair(PerSample):
    """A batch of images with a caption each.

    Attributes:
        images: a view of n images.
        texts: n captions, as the text tower reads them.
        ids: (n,) sample numbers.
        words: (n,) equal where captions are equal, token for token.
    """

    images: View
    texts: Any
    ids: Tensor
    words: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def flops(self) -> float:
        """Of both towers, forward and backward."""
        return float(self.images.flops + self.texts.flops)


class Pairs:
    """Samples of one split: images that have captions.

    Args:
        captions: (images,) how many each has; they stand in `texts` one after the other.
        fresh: how many of the images, the first ones, are not of older tokens.
    """

    def __init__(
        self, config: Pretraining, images: image.Images, texts: text.Text, captions: Ints, fresh: int
    ) -> None:
        self.config, self.images, self.texts = config, images, texts
        counts = captions.astype(np.int64)
        starts = np.cumsum(counts) - counts
        self.image = np.flatnonzero(counts > 0)
        self.first, self.many = starts[self.image], counts[self.image]
        self.fresh = int(np.searchsorted(self.image, fresh))

    def __len__(self) -> int:
        return len(self.image)

    def view(self, draw: Draw, stream: str) -> Pair:
        """Images as they are stored, each with one of its captions."""
        return self._pair(draw, stream, self.images.view(self._pictures(draw), stream))

    def pair(self, draw: Draw, stream: str = "pair") -> Pair:
        """Images augmented in training, each with one of its captions."""
        if not draw.training:
            return self.view(draw, stream)
        (view,) = self.images.views(self._pictures(draw), 1)
        return self._pair(draw, stream, view)

    def trunk(self, folder: Path | None = None) -> Trunk:
        """The trunk in a folder, or a new one with random weights.

        Raises:
            ConfigError: if a tower cannot read the images or the captions.
        """
        parts = {name: None if folder is None else folder / name for name in ("image", "text")}
        image, words = self.images.trunk(parts["image"]), self.texts.trunk(parts["text"])
        if folder is not None:
            return load(folder)
        return built(image.model, _pooled(words), self.config.width)

    @torch.no_grad()
    def pictures(self, trunk: Trunk, draw: Draw) -> list[Picture]:
        """Images that are found for some captions, among held-out ones."""
        from components.lib.engine.transfer import moved

        device = next(trunk.parameters()).device
        pair = moved(self.view(draw.part(0, min(len(draw), GALLERY)), "picture"), device)
        pictures, words = (torch.nn.functional.normalize(one, dim=1) for one in trunk(pair))
        best = (words[:SHOWN] @ pictures.T).topk(min(FOUND, len(pictures)), dim=1).indices
        plain = pair.images.plain()
        rows = [torch.cat([plain[number : number + 1], plain[row]]) for number, row in enumerate(best)]
        note = "left: a held-out image; right of it what is found for its caption, best first"
        return [Picture("Retrieval by caption", grid(rows), note)]

    def _pictures(self, draw: Draw) -> Draw:
        return replace(draw, ids=self.image[draw.ids])

    def _pair(self, draw: Draw, stream: str, view: View) -> Pair:
        many = self.many[draw.ids]
        chosen = np.floor(draw.uniform(f"{stream} caption")[:, 0] * many).astype(np.int64)
        documents = self.first[draw.ids] + np.minimum(chosen, many - 1)
        sizes = np.minimum(self.texts.shards.lengths[documents], self.texts.room)
        flat, _ = self.texts.shards.gather(documents, np.zeros_like(sizes), sizes)
        words = torch.from_numpy(_fingerprints(flat, sizes))
        return Pair(view, self.texts.batch(flat, sizes), torch.from_numpy(draw.ids), words)


def open_split(config: Pretraining, store: Store, tokens: Manifest, split: str, *older: Manifest) -> Pairs:
    """The samples of a split, those of older tokens last; raises DataError if there is none."""
    owners = (tokens, *older)
    if f"{split}-captions.npy" not in tokens.names():
        raise DataError(f"the {split} split has no samples", where=tokens.uri)
    found = [np.load(store.open(one, f"{split}-captions.npy"), allow_pickle=False) for one in owners]
    images = image.open_split(config.image, store, *_split(owners, "image", split))
    shards = TokenShards(store, *_split(owners, "text", split))
    texts = text.samples(config.text, shards, tokens.part("text").facts)
    pairs = Pairs(config, images, texts, np.concatenate(found), len(found[0]))
    if not len(pairs):
        fix = "ingest more pairs, or filter fewer of them"
        raise DataError(f"the {split} split has no samples", where=tokens.uri, fix=fix)
    return pairs


def _split(owners: tuple[Manifest, ...], part: str, split: str) -> tuple[Any, ...]:
    first, *others = (one.part(part) for one in owners)
    return first, split, *others


def _pooled(trunk: Any) -> Any:
    """The model of a text trunk, which from now on pools as it will where there is no packing."""
    if not getattr(trunk.model.config, "pooling", ""):
        trunk.model.config.pooling = "last" if getattr(trunk, "causal", False) else "mean"
    return trunk.model


def _fingerprints(flat: Any, sizes: Ints) -> Any:
    """(n,) int64, equal for equal runs of tokens."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.cumsum(sizes) - sizes
    at = (np.arange(len(flat)) - starts[owner]).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = (flat.astype(np.uint64) + np.uint64(1)) * PRIME ** (at + np.uint64(1))
        mixed ^= mixed >> np.uint64(29)
        sums = np.zeros(len(sizes), np.uint64)
        np.add.at(sums, owner, mixed * PRIME)
    return sums.view(np.int64)
