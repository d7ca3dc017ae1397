"""What a fitted model costs where it is served: parameters, megabytes, milliseconds a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from torch import nn

from components.lib.engine.threads import one_thread

RECORDS = 8  # that are timed, one at a time


@dataclass(frozen=True)
class Served:
    """Of one model.

    Attributes:
        milliseconds: median of a record at a time, in one thread, once it is warm.
        note: what was chosen on held-out labels, if the model chose.
    """

    parameters: int
    megabytes: float
    milliseconds: float
    note: str = ""


def size(model: nn.Module) -> tuple[int, float]:
    """Parameters, and megabytes of all tensors."""
    tensors = model.state_dict().values()
    return (
        sum(parameter.numel() for parameter in model.parameters()),
        sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6,
    )


def milliseconds(answer: Callable[[dict[str, list[Any]]], Any], inputs: Mapping[str, Sequence[Any]]) -> float:
    """Median time of an answer to one record of role -> values; the first is not counted."""
    count = len(next(iter(inputs.values())))
    records = [{role: [values[i]] for role, values in inputs.items()} for i in range(count)]
    took = []
    with one_thread():
        answer(records[0])
        for record in records:
            begun = time.perf_counter()
            answer(record)
            took.append(time.perf_counter() - begun)
    return 1000 * median(took)
