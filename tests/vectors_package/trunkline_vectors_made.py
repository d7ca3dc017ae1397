"""Made-up rows of numbers, on which the contract suites try the package."""

from __future__ import annotations

import random
from typing import Any

INGESTION = {"vector": "x*"}
TOKENIZATION: dict[str, Any] = {}
TRUNK = {"widths": [16, 8]}
EXAMPLE = [0.5] * 8
LABELLED = {
    "vector_classification": {"vector": "x0", "label": "label"},  # branches read the columns of their trunk
    "vector_regression": {"vector": "x0", "target": "label"},
}


def record(draw: random.Random) -> dict[str, Any]:
    """Eight numbers, and which of the first four is the largest: a class, and a number."""
    numbers = [draw.gauss(0, 1) for _ in range(8)]
    label = str(max(range(4), key=numbers.__getitem__))
    return {**{f"x{place}": value for place, value in enumerate(numbers)}, "label": label}
