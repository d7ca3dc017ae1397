"""Batches between the host and the device that trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def pinned(batch: T, device: torch.device) -> T:
    """The same in page-locked memory, if `device` copies from it by itself, while the host goes on."""
    return mapped(batch, Tensor.pin_memory) if device.type == "cuda" else batch


def moved(batch: T, device: torch.device) -> T:
    """The same on a device; the host does not wait for a copy from page-locked memory."""
    return mapped(batch, lambda tensor: tensor.to(device, non_blocking=True))


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """(n,) of the type of `like`, made on its device: for a copy from the host, the host would wait."""
    return torch.stack([like.new_full((), value) for value in values])


def mapped(batch: T, change: Callable[[Tensor], Tensor]) -> T:
    """The same with `change` of each tensor in its dataclasses, lists, tuples and dicts, however deep."""
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
