"""The state of a run as named tensors, and which process holds which rows of them.

A tensor is whole on every process, or cut by rows as FSDP cuts it. A process writes the rows it holds; of
tensors that all hold, each writes its share. A process that resumes asks for the rows that it now needs, so
the world may change in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from components.lib.core.errors import ConfigError
from components.lib.engine.distributed import World


@dataclass(frozen=True)
class Rows:
    """Rows [start, stop) of a tensor, in the file of process `rank`."""

    rank: int
    start: int
    stop: int


@dataclass(frozen=True)
class Spread:
    """A tensor of `shape` and where its rows are, in order; a number counts as one row."""

    shape: tuple[int, ...]
    rows: tuple[Rows, ...]


def capture(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Weights, persistent buffers and the optimizers' moments, by name."""
    tensors = dict(_weights(model))
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            for key, value in moments.items():
                tensors[f"optimizer/{names[parameter]}/{key}"] = value
    return tensors


def restore(
    model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Puts back, in place, what `capture` took; `tensors` are the rows that this process needs."""
    with torch.no_grad():
        for name, tensor in _weights(model):
            if name not in tensors:
                raise ConfigError("a checkpoint of another model", where=name, found="no such tensor in it")
            held(tensor).copy_(tensors[name])
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            prefix = f"optimizer/{names[parameter]}/"
            moments = {key: value for key, value in tensors.items() if key.startswith(prefix)}
            if moments:
                optimizer.state[parameter] = {
                    key.removeprefix(prefix): _like(parameter, value) for key, value in moments.items()
                }


def spread(tensors: dict[str, Tensor], world: World) -> dict[str, Spread]:
    """Who writes what: the same answer on every process."""
    found: dict[str, Spread] = {}
    loads = [0] * world.size
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].numel(), item[0])):
        shape = tuple(tensor.shape)
        if isinstance(tensor, DTensor):
            found[name] = Spread(shape, tuple(_cuts(shape[0], world.size)))
        else:
            rank = loads.index(min(loads))
            loads[rank] += tensor.numel() * tensor.element_size()
            found[name] = Spread(shape, (Rows(rank, 0, shape[0] if shape else 1),))
    return found


def held(tensor: Tensor) -> Tensor:
    """The rows that this process holds."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()


def needed(model: nn.Module, world: World) -> Any:
    """A function of a name and a shape: the (start, stop) of the rows that this process needs of it."""
    cut = {name for name, tensor in _weights(model) if isinstance(tensor, DTensor)}
    shapes = {name: tuple(tensor.shape) for name, tensor in _weights(model)}

    def answer(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        owner = name
        if name.startswith("optimizer/"):
            owner = f"model/{name.removeprefix('optimizer/').rpartition('/')[0]}"
        if owner in cut and shape == shapes[owner]:
            mine = list(_cuts(shape[0], world.size))[world.rank]
            return mine.start, mine.stop
        return 0, shape[0] if shape else 1

    return answer


def _cuts(rows: int, size: int) -> Iterator[Rows]:
    """As torch.chunk cuts: equal parts, the last ones smaller or empty."""
    part = -(-rows // size)
    for rank in range(size):
        yield Rows(rank, min(rank * part, rows), min((rank + 1) * part, rows))


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment on the device of its weight, laid out and cut as it is; a step count stays a number.

    Fused kernels walk through a weight and its moments side by side: they must have the same strides.
    """
    if not isinstance(parameter, DTensor) or not value.ndim:
        alike = value.shape == parameter.shape
        return (
            torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            if alike
            else value.to(parameter.device)
        )
    value = value.to(parameter.device)
    mesh, placements = parameter.device_mesh, parameter.placements
    return DTensor.from_local(value, mesh, placements, shape=parameter.shape, stride=parameter.stride())


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Shared tensors once: state_dict lists a tied weight under each of its names."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield f"model/{name}", tensor
