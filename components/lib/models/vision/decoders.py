"""Decoders from features to pixels; discarded after pre-training, like every head."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

CHANNELS = 128  # at the coarsest size; halved each time the size doubles, but never below a quarter
COARSEST = 8  # largest side of the map that a code is projected to
GROUPS = 8
HIDDEN = 256  # channels of the hidden 1 x 1 convolution of the sub-pixel decoder


class Upsampling(nn.Module):
    """(n, width, h, w) maps -> (n, channels, H, W): nearest upsampling by 2 and convolution, repeated.

    Group norm, not batch norm: a sample's output depends on no other sample.
    """

    def __init__(self, width: int, channels: int, size: tuple[int, int], start: tuple[int, int]) -> None:
        super().__init__()
        self.sizes = _doublings(start, size)
        widths = [max(CHANNELS >> step, CHANNELS // 4) for step in range(len(self.sizes) + 1)]
        self.first = nn.Conv2d(width, widths[0], 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.GroupNorm(GROUPS, b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.first(maps)
        for size, block in zip(self.sizes, self.blocks, strict=True):
            maps = block(nn.functional.interpolate(maps, size=size))
        return self.last(maps)


class SubPixelDecoder(nn.Module):
    """Sub-pixel decoder (Shi et al., "ESPCN", CVPR 2016): (n, width, h, w) maps -> (n, channels, H, W).

    Each place predicts its own square of pixels: convolutions at full size cost three times a small trunk.
    """

    def __init__(self, width: int, channels: int, size: tuple[int, int], start: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.side = size, max(-(-size[0] // start[0]), -(-size[1] // start[1]))
        self.layers = nn.Sequential(
            nn.Conv2d(width, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, channels * self.side**2, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        pixels = nn.functional.pixel_shuffle(self.layers(maps), self.side)
        return pixels[..., : self.size[0], : self.size[1]]


class CodeDecoder(nn.Module):
    """(n, width) codes -> (n, channels, H, W): a linear projection to a small map, then upsampling."""

    def __init__(self, width: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        start = size
        while max(start) > COARSEST:
            start = (-(-start[0] // 2), -(-start[1] // 2))
        self.start = start
        self.linear = nn.Linear(width, CHANNELS * start[0] * start[1])
        self.up = Upsampling(CHANNELS, channels, size, start)

    def forward(self, code: Tensor) -> Tensor:
        maps = self.linear(code).relu().view(len(code), CHANNELS, *self.start)
        return self.up(maps)


class MirroredMlp(nn.Module):
    """(n, width) codes -> (n, channels, H, W): a fully connected trunk mirrored."""

    def __init__(self, widths: list[int], channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (channels, *size)
        widths = [*reversed(widths), channels * size[0] * size[1]]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, code: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            code = layer(code.relu() if number else code)
        return code.view(len(code), *self.shape)


def of_code(trunk: Any) -> nn.Module:
    """The decoder of a trunk's pooled features."""
    channels, *size = trunk.shape
    if trunk.flat:
        return MirroredMlp(list(trunk.model.config.hidden_sizes), channels, (size[0], size[1]))
    return CodeDecoder(trunk.width, channels, (size[0], size[1]))


def of_maps(trunk: Any, channels: int) -> nn.Module:
    """The decoder of a trunk's feature maps, to any number of channels."""
    height, width = trunk.shape[1:]
    with torch.no_grad():
        was = trunk.training
        maps = trunk.eval().maps(trunk.read(torch.zeros(1, *trunk.shape)))
        trunk.train(was)
    return SubPixelDecoder(trunk.width, channels, (height, width), (maps.shape[2], maps.shape[3]))


def _doublings(start: tuple[int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes from just above `start` to `size`, each about twice the one before."""
    sizes = [size]
    while min(sizes[0]) > 2 * max(1, min(start)):
        sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
    return sizes
