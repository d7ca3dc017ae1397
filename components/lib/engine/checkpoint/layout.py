"""Checkpoint layout: named tensors and the rows that each rank owns.

A tensor is replicated on every rank, or sharded by rows as FSDP does it. A rank writes the rows it holds; of
replicated tensors each rank writes its share. A rank that resumes asks for the rows that it now needs, so the
world may change in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from components.lib.core.errors import ConfigError
from components.lib.engine.distributed import World

RowsNeeded = Callable[[str, tuple[int, ...]], tuple[int, int]]  # of name and shape: rows [start, stop)


@dataclass(frozen=True)
class RowRange:
    """Rows [start, stop) of a tensor, in the shard file of `rank`."""

    rank: int
    start: int
    stop: int


@dataclass(frozen=True)
class TensorLayout:
    """A tensor of `shape` and which shard files hold its rows, in order; a scalar counts as one row."""

    shape: tuple[int, ...]
    ranges: tuple[RowRange, ...]


def capture(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Weights, persistent buffers and optimizer moments, by name."""
    tensors = dict(_unique_tensors(model))
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            for key, value in moments.items():
                tensors[f"optimizer/{names[parameter]}/{key}"] = value
    return tensors


def restore(
    model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], tensors: dict[str, Tensor]
) -> None:
    """Puts back, in place, what `capture` took; `tensors` are the rows that this rank needs."""
    with torch.no_grad():
        for name, tensor in _unique_tensors(model):
            if name not in tensors:
                raise ConfigError("a checkpoint of another model", where=name, found="no such tensor in it")
            local_rows(tensor).copy_(tensors[name])
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            prefix = f"optimizer/{names[parameter]}/"
            moments = {
                key.removeprefix(prefix): _like(parameter, value)
                for key, value in tensors.items()
                if key.startswith(prefix)
            }
            if moments:
                optimizer.state[parameter] = moments


def layout_of(tensors: dict[str, Tensor], world: World) -> dict[str, TensorLayout]:
    """Which rank writes what; the same answer on every rank."""
    found: dict[str, TensorLayout] = {}
    loads = [0] * world.size
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].numel(), item[0])):
        shape = tuple(tensor.shape)
        if isinstance(tensor, DTensor):
            found[name] = TensorLayout(shape, tuple(_sharded_rows(shape[0], world.size)))
        else:
            rank = loads.index(min(loads))
            loads[rank] += tensor.numel() * tensor.element_size()
            found[name] = TensorLayout(shape, (RowRange(rank, *all_rows(name, shape)),))
    return found


def local_rows(tensor: Tensor) -> Tensor:
    """The rows that this rank holds."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()


def all_rows(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """[0, rows): what a replicated tensor needs."""
    return 0, shape[0] if shape else 1


def rows_needed(model: nn.Module, world: World) -> RowsNeeded:
    """Which rows of a checkpointed tensor this rank needs: its shard of sharded ones, else all."""
    sharded = {n: tuple(t.shape) for n, t in _unique_tensors(model) if isinstance(t, DTensor)}

    def answer(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        owner = name
        if name.startswith("optimizer/"):
            owner = f"model/{name.removeprefix('optimizer/').rpartition('/')[0]}"
        if sharded.get(owner) != shape:
            return all_rows(name, shape)
        mine = list(_sharded_rows(shape[0], world.size))[world.rank]
        return mine.start, mine.stop

    return answer


def _sharded_rows(rows: int, size: int) -> Iterator[RowRange]:
    """Rows of each rank, divided as torch.chunk does: equal parts, the last ones smaller or empty."""
    part = -(-rows // size)
    for rank in range(size):
        yield RowRange(rank, min(rank * part, rows), min((rank + 1) * part, rows))


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment on the device of its weight, with its strides and sharding; a step count stays a scalar.

    Fused kernels walk through a weight and its moments side by side: they must have the same strides.
    """
    if isinstance(parameter, DTensor) and value.ndim:
        mesh, placements, stride = parameter.device_mesh, parameter.placements, parameter.stride()
        value = value.to(parameter.device)
        return DTensor.from_local(value, mesh, placements, shape=parameter.shape, stride=stride)
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.to(parameter.device)


def _unique_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The state dict without repeats: it lists a tied weight under each of its names."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield f"model/{name}", tensor
