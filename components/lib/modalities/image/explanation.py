"""Which pixels of an image made a branch answer as it did, by integrated gradients."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.modalities.image import overlays
from components.lib.modalities.image.examples import Framed
from components.lib.models.attribution import Attribution, integrated

ROLE = "image"  # what a task reads that is explained


def baseline(model: Any, reader: Any, files: Sequence[bytes]) -> Tensor:
    """One picture, (channels, height, width): every pixel has the mean colour of the corpus, which is 0."""
    shape = reader.sized(list(files[:1])).shape[1:]
    return torch.zeros((shape[2], *shape[:2]), device=next(model.parameters()).device)


def explained(
    model: Any, reader: Any, inputs: Mapping[str, Any], target: int, empty: Tensor
) -> tuple[Attribution, dict[str, Any]]:
    """Attribution of one image's pixels, and {"picture": base64 of a PNG}: the image, and its heat map.

    Args:
        inputs: role -> value of an example.
        target: the class whose logit is explained.
        empty: the baseline.
    """
    pixels = reader.sized([inputs[ROLE]])
    given = Framed(torch.from_numpy(pixels), (), reader.canvas).normal().to(empty.device)

    def logits(part: Tensor) -> Tensor:
        found: Tensor = model(pixel_values=part).logits
        return found

    found = integrated(logits, given, empty[None], target)
    heat = found.scores.sum(axis=0)
    return found, {"picture": base64.b64encode(overlays.heat(pixels[0], np.asarray(heat))).decode()}
