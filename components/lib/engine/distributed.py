"""Processes that train one model together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among those that train together; a world of one has no process group."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process speaks for all: it writes files and metrics."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """`values` added up over all processes; not differentiable."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)).item() > 0)

    def tell(self, text: str) -> str:
        """The `text` of the leading process, on every process."""
        if self.size == 1:
            return text
        data = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        size = self.sum(torch.tensor(len(data) if self.leads else 0, device=self.device))
        data = data if self.leads else torch.empty(int(size), dtype=torch.uint8, device=self.device)
        dist.broadcast(data, 0)
        return bytes(data.tolist()).decode()

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.size > 1:
            dist.barrier()


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


class Late:
    """A number of the device that the host reads one step late, so that it never waits for the device."""

    def __init__(self) -> None:
        self._before: tuple[Tensor, torch.cuda.Event] | None = None

    def read(self, value: Tensor) -> float:
        """The value of the call before, 0.0 at first; on a CPU, which nobody waits for, that of this call."""
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


class _Sum(torch.autograd.Function):
    """A sum over all processes, whose gradient is summed over all processes."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor) -> Tensor:
        whole = values.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        whole = gradient.contiguous().clone()
        dist.all_reduce(whole)
        return whole


class _Gather(torch.autograd.Function):
    """Rows of all processes in rank order; the gradient of a row is summed over all processes."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(rows: Tensor) -> Tensor:
    """(n, d) of this process -> (n * world, d) of all, with gradient; each process must bring the same n."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def total(values: Tensor) -> Tensor:
    """`values` added up over all processes, with gradient; for statistics of the global batch."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return values
    whole: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return whole
