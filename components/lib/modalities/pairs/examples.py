"""Labelled pairs: a frozen gallery of images and texts with queries in it, images with prompted classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.engine.randomness import Ints
from components.lib.engine.trainable import PerSample
from components.lib.engine.transfer import moved
from components.lib.modalities.image.examples import Framed, ImageSet
from components.lib.modalities.text.examples import Examples

EMBEDDED = 64  # images or texts at once, whatever the batch: vectors are the same then


@dataclass(frozen=True)
class Matched(PerSample):
    """A batch of images with a text each; `own` (n, n) is whether a text is one of the image's."""

    images: Framed
    ids: Tensor
    mask: Tensor
    own: Tensor

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Gallery:
    """Images and the distinct texts of them all; some of the images are asked about.

    Attributes:
        images: of the whole gallery.
        texts, tokens: the distinct texts, and their token ids.
        owned: of each image the places of its texts.
        chosen: (n,) images that are asked about.
    """

    images: ImageSet
    texts: list[str]
    tokens: Examples
    owned: list[list[int]]
    chosen: Ints

    def __len__(self) -> int:
        return len(self.chosen)

    def subset(self, chosen: Sequence[int] | Ints) -> Gallery:
        """The questions at these places, in this order, to the same gallery."""
        return replace(self, chosen=self.chosen[np.asarray(chosen, np.int64)])

    def batches(self, size: int) -> list[Ints]:
        """All questions in batches."""
        return np.array_split(np.arange(len(self)), max(1, -(-len(self) // size)))

    def batch(self, places: Sequence[int] | Ints) -> Matched:
        """Images with the first of their texts."""
        chosen = self.chosen[np.asarray(places, np.int64)]
        first = [self.owned[image][0] for image in chosen.tolist()]
        own = np.array([[text in self.owned[image] for text in first] for image in chosen.tolist()])
        tokens = self.tokens.batch(first)
        return Matched(self.images.batch(chosen), tokens.ids, tokens.mask, torch.from_numpy(own))

    @torch.no_grad()
    def vectors(self, model: Any) -> tuple[Tensor, Tensor]:
        """(images, width) and (texts, width) unit vectors of the whole gallery, on the model's device."""
        return (
            torch.cat([model.images(pixel_values=b.normal()) for b in embedded(model, self.images)]),
            torch.cat(
                [model.texts(input_ids=b.ids, attention_mask=b.mask) for b in embedded(model, self.tokens)]
            ),
        )


def embedded(model: Any, samples: Any) -> Iterator[Any]:
    """Batches in order on the model's device."""
    device = next(model.parameters()).device
    for start in range(0, len(samples), EMBEDDED):
        yield moved(samples.batch(range(start, min(len(samples), start + EMBEDDED))), device)


def gallery(reader: Any, files: Sequence[bytes], captions: Sequence[Sequence[str]]) -> Gallery:
    """Of image files, each with its captions."""
    texts = list(dict.fromkeys(text for some in captions for text in some))
    places = {text: place for place, text in enumerate(texts)}
    padding = reader.texts.tokenizer.pad_token_id
    tokens = Examples(reader.encoded(texts), [0] * len(texts), padding)
    images = ImageSet(reader.images.sized(files), np.zeros(len(files), np.int64), reader.images.canvas)
    owned = [[places[text] for text in some] for some in captions]
    return Gallery(images, texts, tokens, owned, np.arange(len(files)))


@dataclass(frozen=True)
class Prompted(PerSample):
    """A batch of images, their classes, and texts that speak of all classes."""

    images: Framed
    ids: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class PromptedSet:
    """Images with their classes, and prompts: those of the first class, then of the next."""

    images: ImageSet
    prompts: Examples
    each: int

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, chosen: Sequence[int] | Ints) -> PromptedSet:
        """The images at these places, in this order."""
        return replace(self, images=self.images.subset(chosen))

    def batches(self, size: int) -> list[Ints]:
        """All places in batches."""
        return self.images.batches(size)

    def batch(self, places: Sequence[int] | Ints) -> Prompted:
        """These images, and all prompts."""
        prompts = self.prompts.batch(range(len(self.prompts)))
        return Prompted(self.images.batch(places), prompts.ids, prompts.mask)
