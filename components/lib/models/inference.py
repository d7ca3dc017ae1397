"""Passes of a model without a gradient, on the device where it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from components.lib.engine.randomness import Ints
from components.lib.engine.transfer import moved


def device() -> torch.device:
    """Where a stage of one process computes: on the GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batches(model: nn.Module, samples: Any, size: int = 64) -> Iterator[tuple[Ints, Any]]:
    """Places in `samples` and the batch of them on the model's device, which is set to evaluation mode."""
    model.eval()
    there = next(model.parameters()).device
    for places in samples.batches(size):
        yield places, moved(samples.batch(places), there)
