"""Augmentation of a batch of images on the training device, by parameters that were drawn beforehand.

Crop-resize, flip and rotation are one affine resampling; brightness, contrast, saturation, hue and grey are
one affine map of the colours of each image. The order is fixed: geometry, colour, blur, noise, as in SimCLR
(Chen et al., ICML 2020). Each parameter is a pure function of seed, epoch, sample and stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from components.lib.engine.device_noise import gaussian
from components.lib.engine.randomness import Draw
from components.lib.engine.transfer import constant

Floats = npt.NDArray[np.float64]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
ASPECT = math.log(4 / 3)  # a crop is at most a third wider than high, or the reverse, before it is stretched
SIGMA = (0.1, 2.0)  # of the blur, in pixels
REACH = 0.05  # of the blur's kernel to each side, as a share of the height
JITTERED = 0.8  # share of the images whose colours are jittered
COLUMNS = 18


@dataclass(frozen=True)
class Strength:
    """How far each augmentation goes; the defaults change nothing.

    Attributes:
        crop: smallest share of the area that is shown.
        flip, grey, blur: probabilities.
        jitter: s of SimCLR: brightness, contrast and saturation by up to 0.8 s, hue by up to 0.2 s of a turn.
        rotation: largest angle, in degrees.
        noise: largest standard deviation, where the brightest pixel is 1.
    """

    crop: float = 1.0
    flip: float = 0.0
    jitter: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    rotation: float = 0.0
    noise: float = 0.0

    def geometry(self) -> Strength:
        """Without changes of colour: what an objective that predicts pixels can bear."""
        return Strength(crop=self.crop, flip=self.flip, rotation=self.rotation)

    def mirror(self) -> Strength:
        """Mirrored at most: images as they are distributed."""
        return Strength(flip=self.flip)


@dataclass(frozen=True)
class Recipe:
    """What happens to each of n images; a stage that does nothing is None.

    Attributes:
        affine: (n, 2, 3) from places in the result to places in the image.
        colour: (n, C, C) of the colours.
        contrast: (n,) how much of the mean grey is added.
        blurred, sigma: (m,) which images, and how much, in pixels.
        noise, keys: (n,) standard deviations and the key of each image's noise.
    """

    affine: Tensor | None = None
    colour: Tensor | None = None
    contrast: Tensor | None = None
    blurred: Tensor | None = None
    sigma: Tensor | None = None
    noise: Tensor | None = None
    keys: Tensor | None = None


def recipe(strength: Strength, draw: Draw, stream: str, channels: int) -> Recipe:
    """Draws the parameters of a view; a stage that is off draws nothing that another stage sees."""
    chance = draw.uniform(stream, COLUMNS)
    made: dict[str, Tensor] = {}
    if strength.crop < 1 or strength.flip > 0 or strength.rotation > 0:
        made["affine"] = _tensor(_affine(strength, chance))
    if strength.jitter > 0 or strength.grey > 0:
        colour, contrast = _colour(strength, chance, channels)
        made |= {"colour": _tensor(colour), "contrast": _tensor(contrast)}
    if strength.blur > 0:
        blurred = np.flatnonzero(chance[:, 12] < strength.blur)
        sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * chance[blurred, 13]
        made |= {"blurred": torch.from_numpy(blurred), "sigma": _tensor(sigma)}
    if strength.noise > 0:
        keys = np.floor(chance[:, 15] * 2.0**31).astype(np.int64)
        made |= {"noise": _tensor(chance[:, 14] * strength.noise), "keys": torch.from_numpy(keys)}
    return Recipe(**made)


def apply(images: Tensor, chosen: Recipe) -> Tensor:
    """(n, C, H, W) in [0, 1] -> the same shape and range."""
    if chosen.affine is not None:
        grid = nn.functional.affine_grid(chosen.affine, list(images.shape), align_corners=False)
        images = nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if chosen.colour is not None and chosen.contrast is not None:
        images = _recoloured(images, chosen.colour, chosen.contrast)
    if chosen.blurred is not None and chosen.sigma is not None and len(chosen.blurred):
        blurred = _blurred(images[chosen.blurred], chosen.sigma)
        images = images.index_copy(0, chosen.blurred, blurred)
    if chosen.noise is not None and chosen.keys is not None:
        noise = gaussian(chosen.keys, images[0].numel()).view_as(images)
        images = (images + noise * chosen.noise[:, None, None, None]).clamp(0, 1)
    return images


def _affine(strength: Strength, chance: Floats) -> Floats:
    """Places in [-1, 1]: a box of random area, aspect and place, turned and perhaps mirrored."""
    area = strength.crop + (1 - strength.crop) * chance[:, 0]
    aspect = np.exp(ASPECT * (2 * chance[:, 1] - 1)) if strength.crop < 1 else 1.0
    width, height = (np.minimum(np.sqrt(area * ratio), 1.0) for ratio in (aspect, 1 / aspect))
    x, y = (2 * chance[:, 2] - 1) * (1 - width), (2 * chance[:, 3] - 1) * (1 - height)
    mirror = np.where(chance[:, 4] < strength.flip, -1.0, 1.0)
    angle = math.radians(strength.rotation) * (2 * chance[:, 5] - 1)
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [[mirror * width * cos, -height * sin, x], [mirror * width * sin, height * cos, y]]
    return np.moveaxis(np.array(rows), 2, 0)


def _colour(strength: Strength, chance: Floats, channels: int) -> tuple[Floats, Floats]:
    """Brightness, contrast, saturation, hue, grey, one after the other, as one affine map of the colours."""
    jittered = (chance[:, 6] < JITTERED) * strength.jitter
    brightness, contrast, saturation = (
        1 + 0.8 * jittered * (2 * chance[:, column] - 1) for column in (7, 8, 9)
    )
    maps = np.broadcast_to(np.eye(channels), (len(chance), channels, channels))
    if channels == 3:
        grey = np.tile(np.array(LUMA), (3, 1))
        turned = _hue(2 * math.pi * 0.2 * jittered * (2 * chance[:, 10] - 1))
        saturated = grey + saturation[:, None, None] * (np.eye(3) - grey)
        drained = np.where((chance[:, 11] < strength.grey)[:, None, None], grey, np.eye(3))
        maps = drained @ turned @ saturated
    return maps * (brightness * contrast)[:, None, None], (1 - contrast) * brightness


def _hue(angle: Floats) -> Floats:
    """(n, 3, 3) turns of the chroma plane of YIQ, which leave luma and greys as they are."""
    yiq = np.array([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
    zero, one, cos, sin = np.zeros_like(angle), np.ones_like(angle), np.cos(angle), np.sin(angle)
    turn = np.array([[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]])
    return np.linalg.inv(yiq) @ np.moveaxis(turn, 2, 0) @ yiq


def _recoloured(images: Tensor, colour: Tensor, contrast: Tensor) -> Tensor:
    flat = images.flatten(2)
    means = flat.mean(dim=2)
    channels = images.shape[1]
    mean = means @ constant(LUMA, means) if channels == 3 else means.mean(dim=1)
    shift = (contrast * mean)[:, None, None]
    if channels == 1:
        return torch.addcmul(shift, flat, colour).clamp_(0, 1).view_as(images)
    return torch.baddbmm(shift.expand(-1, channels, 1), colour, flat).clamp_(0, 1).view_as(images)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian of its own for each image, along one axis and then the other; edges are repeated."""
    reach = max(1, round(REACH * images.shape[2]))
    offsets = torch.arange(reach + 1, device=images.device)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]).square())
    weights = (weights / (2 * weights.sum(dim=1, keepdim=True) - weights[:, :1]))[:, :, None, None, None]
    for axis in (2, 3):
        sides = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        padded, size = nn.functional.pad(images, sides, mode="replicate"), images.shape[axis]
        total = images * weights[:, 0]
        for offset in range(1, reach + 1):
            both = padded.narrow(axis, reach - offset, size) + padded.narrow(axis, reach + offset, size)
            total = torch.addcmul(total, both, weights[:, offset])
        images = total
    return images.clamp_(max=1)  # weights that add up to 1 leave the range by a rounding


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
