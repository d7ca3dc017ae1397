"""Contrastive pre-training of two towers: an image and its caption agree, those of other pairs do not.

CLIP: Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021: a
softmax over the batch in both directions, with a learned temperature. SigLIP: Zhai et al., "Sigmoid loss for
language image pre-training", ICCV 2023: each combination is a decision of its own, with a learned bias.
Each process compares its own rows with the columns of all, so that no gradient depends on their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.distributed import all_gather
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss

NEEDS = ("pairs",)
WHOLE_BATCH = True  # the negatives are the batch
SHARPEST = math.log(100)  # of the inverse temperature, as in CLIP
FIRST_BIAS = -10.0  # of SigLIP, and its first inverse temperature: most combinations are not pairs
FIRST_SCALE = math.log(10)


@dataclass(frozen=True)
class Config:
    """The loss."""

    loss: str = setting("softmax", "softmax: CLIP's; sigmoid: SigLIP's", choices=("softmax", "sigmoid"))
    temperature: float = setting(
        0.0, "of the similarities at first; 0: 0.07, or 0.1 of sigmoid", minimum=0.0, maximum=10.0
    )
    learned: bool = setting(True, "whether the temperature is learnt")


class Objective(nn.Module):
    """The trunk of two towers, whose temperature is a weight of it; the bias of SigLIP is thrown away."""

    PARTS = ("image_to_text", "text_to_image", "temperature", "alignment")

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        model = trunk.model
        with torch.no_grad():
            if config.temperature:
                model.scale.fill_(-math.log(config.temperature))
            elif config.loss == "sigmoid":
                model.scale.fill_(FIRST_SCALE)
        model.scale.requires_grad_(config.learned)
        bias = torch.full((1,), FIRST_BIAS)
        self.offset = nn.Parameter(bias) if config.loss == "sigmoid" else None

    def prepare(self, samples: Any, draw: Draw) -> Any:
        """Augmented images, each with one of its captions."""
        return samples.pair(draw)

    def forward(self, batch: Any) -> Loss:
        """How hard captions are to find for the images of this process, and images for its captions."""
        images, texts = (nn.functional.normalize(one.float(), dim=1) for one in self.trunk(batch))
        keys = torch.stack([batch.ids, batch.words])
        every = images, texts, keys
        if self.training:  # held-out batches are dealt to the processes whole
            every = all_gather(images), all_gather(texts), _gathered(keys)
        with torch.autocast(images.device.type, enabled=False):  # bf16 cannot tell similar pairs apart
            scale = self.trunk.model.scale.clamp(max=SHARPEST).exp()
            across, back, own, other = compare(images, texts, every[0], every[1], keys, every[2])
            if self.offset is None:
                total = (softmax(scale * across, own, other) + softmax(scale * back, own, other)) / 2
            else:
                total = sigmoid(scale * across + self.offset, own, other)
        found = (one.masked_fill(other, -2.0).argmax(dim=1) for one in (across, back))
        right = [(places == own).sum() for places in found]
        told = (*right, batch.weight / scale.detach().squeeze(), (images * texts).sum())
        return Loss(total, batch.weight, dict(zip(self.PARTS, told, strict=True)))


def compare(
    images: Tensor, texts: Tensor, all_images: Tensor, all_texts: Tensor, keys: Tensor, all_keys: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(n, N) similarities of images of this process to all texts, and of its texts to all images.

    Args:
        keys: (2, n) sample and caption of each row; `all_keys` (2, N) of each column.

    Returns:
        Both; (n,) the column of each row's own pair; (n, N) what is not a negative: the sample again, or
        another with the same caption. It is to be left out of scaled similarities: infinity times 0 is NaN.
    """
    same = (keys[:, :, None] == all_keys[:, None, :]).any(dim=0)
    own = (keys[0][:, None] == all_keys[0][None, :]).int().argmax(dim=1)
    return images @ all_texts.T, texts @ all_images.T, own, same.scatter(1, own[:, None], False)


def softmax(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Cross-entropy of finding the own column, summed over rows."""
    return nn.functional.cross_entropy(logits.masked_fill(other, float("-inf")), own, reduction="sum")


def sigmoid(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Of each combination of a row and a column whether they are a pair, summed over all."""
    signs = torch.full_like(logits, -1.0).scatter(1, own[:, None], 1.0)
    return nn.functional.softplus(-signs * logits).masked_fill(other, 0.0).sum()


def _gathered(keys: Tensor) -> Tensor:
    """(2, n) whole numbers of 64 bits -> (2, N) of all processes, as halves that a float can hold."""
    with torch.no_grad():
        halves = torch.cat([keys >> 32, keys & 0xFFFFFFFF]).T.double()
        high, low = all_gather(halves).long().T.reshape(2, 2, -1)
    return (high << 32) | low
