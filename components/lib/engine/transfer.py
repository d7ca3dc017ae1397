"""Batches between host and device: pinned memory, asynchronous copies, nested containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def pinned(batch: T, device: torch.device) -> T:
    """The batch in pinned (page-locked) memory, if the device is a GPU, so that its copy is asynchronous."""
    return mapped(batch, Tensor.pin_memory) if device.type == "cuda" else batch


def moved(batch: T, device: torch.device) -> T:
    """The batch on a device; a copy from pinned memory does not block the host."""
    return mapped(batch, lambda tensor: tensor.to(device, non_blocking=True))


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """(n,) constants of the type and device of `like`, made there: a copy from the host would be a sync."""
    return torch.stack([like.new_full((), value) for value in values])


def mapped(batch: T, change: Callable[[Tensor], Tensor]) -> T:
    """Tree map: `change` of each tensor in nested dataclasses, lists, tuples and dicts."""
    whole: Any = batch
    if isinstance(whole, Tensor):
        whole = change(whole)
    elif is_dataclass(whole) and not isinstance(whole, type):
        values = {field.name: mapped(getattr(whole, field.name), change) for field in fields(whole)}
        whole = replace(whole, **values)
    elif isinstance(whole, dict):
        whole = {key: mapped(value, change) for key, value in whole.items()}
    elif isinstance(whole, list | tuple):
        whole = type(whole)(mapped(value, change) for value in whole)
    result: T = whole
    return result
