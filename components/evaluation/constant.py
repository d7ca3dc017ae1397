"""Majority-class baseline: whether a branch is better than one that answers the same to everything."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from components.evaluation.config import Config
from components.evaluation.intervals import estimates
from components.evaluation.outcomes import Columns
from components.lib.core.bootstrap import Floats


def gain(
    config: Config, task: ModuleType, scored: Columns, names: list[str], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The primary metric of the best constant answer, and of the branch minus it, paired.

    The most frequent class of the examples, the mean of their numbers, or what the task has as `constant`.
    Where there is none (boxes, masks), it is the worst value of the metric: that of answering nothing.

    Args:
        scored: outcomes of the branch, whose metrics are `measured`.

    Returns:
        {"answer", "value", "difference": {"value", "low", "high"}, "better": whether that is shown}.
    """
    declared, n = task.METRICS[task.PRIMARY], len(next(iter(scored.values())))
    lower = declared["better"] == "lower"

    def primary(columns: Columns) -> Any:
        def metric(weights: Floats) -> dict[str, Floats]:
            return {task.PRIMARY: task.metrics(columns, weights, names)[task.PRIMARY]}

        return metric

    if same := _same(task, scored, names):
        answer, columns = same
        systems = {"branch": primary(scored), "constant": primary(columns)}
        metrics, differences, _ = estimates(config, systems, n, task.METRICS)
        value, difference = metrics["constant"][task.PRIMARY]["value"], differences[task.PRIMARY]
    else:
        answer, value = "", declared["high" if lower else "low"]
        ends = measured[task.PRIMARY]
        known = value is not None and ends["value"] is not None
        difference = {end: ends[end] - value if known else None for end in ("value", "low", "high")}
    end = difference["high" if lower else "low"]
    better = end is not None and (end < 0 if lower else end > 0)
    return {"answer": answer, "value": value, "difference": difference, "better": better}


def _same(task: ModuleType, scored: Columns, names: list[str]) -> tuple[str, Columns] | None:
    """The constant answer in words, and the outcomes of giving it to every example."""
    if hasattr(task, "constant"):
        found: tuple[str, Columns] = task.constant(scored, names)
        return found
    label = scored.get("label")
    if label is None or label.ndim != 1 or "prediction" not in scored:
        return None
    best = np.bincount(label.astype(np.int64)).argmax() if names else label.mean()
    answer = names[int(best)] if names else f"{best:.4g}"
    return answer, {**scored, "prediction": np.full_like(scored["prediction"], best)}
