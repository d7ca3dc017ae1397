"""Made-up images of one shape each on a noisy ground, with class, mask and box."""

from __future__ import annotations

import random
from typing import Any

SIDE = 16
SHAPES = ("cross", "disc", "frame", "ring", "square", "triangle")


def record(draw: random.Random) -> dict[str, Any]:
    """A picture, grey, with its class, a mask of the shape, and its box as left, top, right, bottom."""
    shape = draw.choice(SHAPES)
    radius = draw.uniform(3.5, 6.0)
    x, y = (draw.uniform(radius, SIDE - radius) for _ in range(2))
    ground, bright = draw.randint(0, 90), draw.randint(150, 255)
    noise = draw.randint(2, 30)
    image, mask = [], []
    for row in range(SIDE):
        inside = [
            _inside(shape, (column + 0.5 - x) / radius, (row + 0.5 - y) / radius) for column in range(SIDE)
        ]
        values = [(bright if hit else ground) + draw.randint(-noise, noise) for hit in inside]
        image.append([min(max(value, 0), 255) for value in values])
        mask.append([int(hit) for hit in inside])
    return {"image": image, "label": shape, "mask": mask, "objects": [{"box": _box(mask), "label": shape}]}


def _inside(shape: str, x: float, y: float) -> bool:
    """Whether a place belongs to the shape of radius 1 around 0."""
    far, away = max(abs(x), abs(y)), x * x + y * y
    return {
        "cross": far <= 1 and min(abs(x), abs(y)) <= 0.3,
        "disc": away <= 1,
        "frame": 0.6 <= far <= 1,
        "ring": 0.4 <= away <= 1,
        "square": far <= 0.8,
        "triangle": -1 <= y <= 1 and abs(x) <= (y + 1) / 2,
    }[shape]


def _box(mask: list[list[int]]) -> list[int]:
    rows = [number for number, row in enumerate(mask) if any(row)]
    columns = [number for number, column in enumerate(zip(*mask, strict=True)) if any(column)]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
