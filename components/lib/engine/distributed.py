"""Process group of a training: ranks, collectives with and without gradient, reads without a host sync."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """The rank of this process among those that train together; a world of one has no process group."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which writes files and metrics."""
        return self.rank == 0

    def all_reduce(self, values: Tensor) -> Tensor:
        """`values` summed over all ranks; not differentiable."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on at least one rank."""
        return bool(self.all_reduce(torch.tensor(float(flag), device=self.device)).item() > 0)

    def broadcast(self, text: str) -> str:
        """The `text` of rank 0, on every rank; nothing is pickled."""
        if self.size == 1:
            return text
        data = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        size = self.all_reduce(torch.tensor(len(data) if self.leads else 0, device=self.device))
        data = data if self.leads else torch.empty(int(size), dtype=torch.uint8, device=self.device)
        dist.broadcast(data, 0)
        return bytes(data.tolist()).decode()


ALONE = World(0, 1, torch.device("cpu"))


def start(timeout: timedelta = timedelta(seconds=120)) -> World:
    """Joins the process group that torchrun's environment describes; without one, a world of one."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)
    return World(rank, size, device)


def stop() -> None:
    """Leaves the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


class DelayedScalar:
    """Device scalar read one step late, to avoid a host sync."""

    def __init__(self) -> None:
        self._before: tuple[Tensor, torch.cuda.Event] | None = None

    def read(self, value: Tensor) -> float:
        """The value of the call before, 0.0 at first; on a CPU, where there is no sync, that of this call."""
        if value.device.type == "cpu":
            return value.item()
        host = torch.empty((), dtype=value.dtype, pin_memory=True)
        host.copy_(value, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        before, self._before = self._before, (host, event)
        if before is None:
            return 0.0
        before[1].synchronize()
        return before[0].item()


class _AllReduce(torch.autograd.Function):
    """Sum over all ranks, whose gradient is summed over all ranks; torch.distributed.nn's is deprecated."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return _AllReduce.forward(ctx, gradient)


class _AllGather(torch.autograd.Function):
    """Rows of all ranks in rank order; the gradient of a row is summed over all ranks."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = _AllReduce.forward(ctx, gradient)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def all_gather(rows: Tensor) -> Tensor:
    """(n, d) of this rank -> (n * world, d) of all, with gradient; each rank must bring the same n."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    gathered: Tensor = _AllGather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def all_reduce(values: Tensor) -> Tensor:
    """`values` summed over all ranks, with gradient; for statistics of the global batch."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return values
    total: Tensor = _AllReduce.apply(values)  # type: ignore[no-untyped-call]
    return total
