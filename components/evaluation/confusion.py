"""Which classes are taken for which, and which errors were made with the greatest confidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from components.evaluation.outcomes import Columns


def matrix(outcomes: Columns, classes: list[str]) -> list[list[int]] | None:
    """Counts, rows true and columns predicted; None for a task without one class an example."""
    if not classes or not {"label", "prediction"} <= outcomes.keys():
        return None
    size = len(classes)
    flat = outcomes["label"].astype(np.int64) * size + outcomes["prediction"].astype(np.int64)
    counts: list[list[int]] = np.bincount(flat, minlength=size * size).reshape(size, size).tolist()
    return counts


def worst(confusion: list[list[int]], classes: list[str], count: int = 8) -> list[dict[str, Any]]:
    """The pairs with the most examples off the diagonal, as {"true", "predicted", "count", "share"}."""
    pairs = [(-counted, i, j) for i, row in enumerate(confusion) for j, counted in enumerate(row)]
    wrong = sorted(pair for pair in pairs if pair[1] != pair[2] and pair[0])
    return [
        {
            "true": classes[i],
            "predicted": classes[j],
            "count": -counted,
            "share": round(-counted / sum(confusion[i]), 4),
        }
        for counted, i, j in wrong[:count]
    ]


def confident_errors(
    outcomes: Columns,
    inputs: list[Any],
    classes: list[str],
    excerpt: Callable[[Any], dict[str, str]],
    count: int = 6,
) -> list[dict[str, Any]]:
    """Wrong predictions, surest first: an excerpt of the input, true, predicted, confidence."""
    if not classes or not {"label", "prediction", "confidence"} <= outcomes.keys():
        return []
    wrong = np.flatnonzero(outcomes["label"] != outcomes["prediction"])
    chosen = wrong[np.lexsort((wrong, -outcomes["confidence"][wrong]))][:count]
    return [
        {
            **excerpt(inputs[i]),
            "true": classes[int(outcomes["label"][i])],
            "predicted": classes[int(outcomes["prediction"][i])],
            "confidence": round(float(outcomes["confidence"][i]), 4),
        }
        for i in chosen
    ]
