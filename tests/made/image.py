"""Made-up images: a shape in a colour of its own, with its class, its mask and its box."""

import base64
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


def longer(record: dict[str, Any]) -> dict[str, Any]:
    """The same record with fifty times as many pixels a side."""
    grown = {name: np.array(record[name]).repeat(50, 0).repeat(50, 1).tolist() for name in ("image", "mask")}
    objects = [{**one, "box": [50 * side for side in one["box"]]} for one in record["objects"]]
    return {**record, **grown, "objects": objects}


def sent(value: bytes) -> str:
    """An input as a client sends it."""
    return base64.b64encode(value).decode()


BROKEN = ("", "no base64!", sent(b"no image"), sent(b"\x89PNG\r\n\x1a\n"), None)  # refused where it is served
