"""A stand-in for a GPU: a device whose tensors hold values, and refuse what a tensor on a GPU refuses.

It is a backend of torch, `card`, that computes on the CPU: a tensor that was left on the host cannot be mixed
with one on the card, `.numpy()` of it is an error, and models, batches and results must be moved. Under
`no_sync` a host sync is an error: no value and no shape is read from the card, and nothing is copied to it.

A process has it or not: `TRUNKLINE_TEST_DEVICE=card pytest ...`, which is what `rerun` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME, VARIABLE = "card", "TRUNKLINE_TEST_DEVICE"
ON_CARD = os.environ.get(VARIABLE) == NAME
COPIES = ("aten::_to_copy", "aten::copy_")  # between places
INDICES = ("aten::index", "aten::index_put", "aten::index_put_")  # whose indices torch sends over itself
WAITS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)

_waiting = True  # whether the host may wait for the card


class Backend(_DummyBackendModule):
    """What torch asks a device about."""

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        """Asked by autocast, also to switch it off."""
        return [torch.bfloat16]


class OnCard(torch.Tensor):
    """A tensor on the card; `host` holds its values."""

    host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, host: Tensor) -> OnCard:
        kept = {"strides": host.stride(), "storage_offset": host.storage_offset(), "dtype": host.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, host.shape, device=torch.device(NAME, 0), **kept)
        made.host = host
        return made

    def untyped_storage(self) -> torch.UntypedStorage:
        """Of the values: by it safetensors and transformers see which tensors share memory."""
        return self.host.untyped_storage()

    def data_ptr(self) -> int:
        return self.host.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __format__(self, spec: str) -> str:
        return format(self.cpu(), spec)

    def __repr__(self) -> str:
        return f"OnCard({self.host})"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["host"], None

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Card(TorchDispatchMode):
    """Within, tensors can be made on the card."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, as the card does it."""
    wrappers: dict[int, OnCard] = {}
    left: list[Tensor] = []

    def host(value: Any) -> Any:
        if isinstance(value, OnCard):
            wrappers[id(value.host)] = value
            return value.host
        if isinstance(value, Tensor) and value.ndim and value.device.type == "cpu":
            left.append(value)
        return value

    args, kwargs = tree_map(host, (args, kwargs))
    wanted = kwargs.get("device")
    there = torch.device(wanted).type == NAME if wanted is not None else bool(wrappers)
    name = func.name().partition(".")[0]
    crosses = (bool(wrappers) and bool(left)) or (name in COPIES and there != bool(wrappers))
    if wrappers and left and name not in (*COPIES, *INDICES):
        raise RuntimeError(f"{func}: a tensor of shape {tuple(left[0].shape)} is on the host, not on {NAME}")
    if not _waiting and (crosses or (wrappers and _waits(func, name, args))):
        raise RuntimeError(f"{func}: the host waits for {NAME}")
    if there and wanted is not None:
        kwargs["device"] = torch.device("cpu")

    def card(value: Any) -> Any:
        if not isinstance(value, Tensor) or not there:
            return value
        return wrappers[id(value)] if id(value) in wrappers else OnCard(value)  # in place: the same one

    return tree_map(card, func(*args, **kwargs))


def _waits(func: Any, name: str, args: Any) -> bool:
    """Whether a result, or its shape, is read from values."""
    if name == "aten::index":  # by whole numbers it is not
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return bool(set(WAITS) & set(func.tags))


@contextmanager
def no_sync() -> Iterator[None]:
    """Within, the host may not wait for the card."""
    global _waiting
    _waiting = False
    try:
        yield
    finally:
        _waiting = True


if ON_CARD:
    _setup_privateuseone_for_python_backend(NAME, Backend())
    torch._C._set_only_lift_cpu_tensors(True)  # else torch.tensor(..., device=) copies behind the mode's back
    torch.__future__.set_swap_module_params_on_conversion(True)

DEVICE = torch.device(NAME, 0) if ON_CARD else torch.device("cpu")


def computing() -> Any:
    """A context in which models compute on DEVICE."""
    return Card() if ON_CARD else nullcontext()


cpu_only = pytest.mark.skipif(ON_CARD, reason="shows nothing more on the card")


def rerun(*files: str) -> None:
    """Runs the tests of files again in a process in which DEVICE is the card; fails as they do."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    environment = {**os.environ, VARIABLE: NAME}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
