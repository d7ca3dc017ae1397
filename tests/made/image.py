"""Made-up images: a shape in a colour of its own, with its class, its mask and its box."""

import random
from typing import Any

import numpy as np

from components.lib.data import shapes

INGESTION: dict[str, Any] = {}
TOKENIZATION = {"height": 16, "width": 16}
TRUNK = {"size": "nano", "crop": 0.5, "flip": 0.0, "patch": 4}
LABELLED = {"segmentation": {"label": "mask"}, "detection": {"label": "objects"}}


def record(draw: random.Random) -> dict[str, Any]:
    """A shape of the product's sample, painted."""
    made = shapes.record(draw)
    turn = 2 * np.pi * shapes.SHAPES.index(made["label"]) / len(shapes.SHAPES)
    ink = 0.7 + 0.3 * np.cos(turn + np.array([0.0, 2.1, 4.2]))
    pixels = np.array(made["image"])[:, :, None] * ink
    return {**made, "image": pixels.round().astype(int).tolist()}
