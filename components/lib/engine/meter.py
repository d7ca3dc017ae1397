"""How fast training goes and where the time goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class Meter:
    """Counts over a run on this process; times are wall seconds.

    Attributes:
        real: tokens (or samples) that carry data.
        slots: what was computed on, padding included.
        flops: model FLOPs of forward and backward passes.
    """

    samples: int = 0
    real: int = 0
    slots: int = 0
    flops: float = 0.0
    waits: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)

    def count(self, samples: int, real: int, slots: int, flops: float) -> None:
        """Adds one batch."""
        self.samples += samples
        self.real += real
        self.slots += slots
        self.flops += flops

    @contextmanager
    def wait(self, name: str) -> Iterator[None]:
        """Adds the time of the block to what was lost to `name` (data, checkpoint, evaluation)."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.waits[name] = self.waits.get(name, 0.0) + time.perf_counter() - start

    def summary(self, world: int = 1) -> dict[str, float]:
        """Rates per second over all processes, and seconds lost."""
        seconds = time.perf_counter() - self.start
        busy = max(seconds - sum(self.waits.get(k, 0.0) for k in ("checkpoint", "evaluation")), 1e-9)
        lost = {f"{name}_wait_seconds": round(value, 3) for name, value in self.waits.items()}
        return {
            "seconds": round(seconds, 3),
            "samples_per_second": round(world * self.samples / busy, 2),
            "tokens_per_second": round(world * self.real / busy, 1),
            "padding": round(1 - self.real / max(self.slots, 1), 4),
            "flops_per_second": round(world * self.flops / busy, 1),
            **lost,
        }


def peak_flops(device: torch.device, precision: str, seconds: float = 0.5, size: int = 1024) -> float:
    """FLOP/s of a square matrix product on this device now: the honest denominator of MFU."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.ones(size, size, dtype=kind, device=device) for _ in range(2))
    products, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        torch.mm(left, right)
        products += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
    return 2 * size**3 * products / (time.perf_counter() - start)


@dataclass
class Progress:
    """A line every few seconds: step, loss, rate, time to go."""

    steps: int
    first: int = 0
    every: float = 2.0
    label: str = "training"
    start: float = field(default_factory=time.perf_counter)
    last: float = 0.0

    def due(self) -> bool:
        """Whether it is time for a line."""
        return time.perf_counter() - self.last >= self.every

    def show(self, step: int, loss: float, real: int) -> None:
        """Prints the line of `step` finished steps; `real` tokens since the start or resume."""
        self.last = time.perf_counter()
        elapsed = self.last - self.start
        done = max(step - self.first, 1)
        left = elapsed / done * (self.steps - step)
        bar = "#" * round(24 * step / self.steps)
        print(
            f"{self.label} [{bar:<24}] {step}/{self.steps}  loss {loss:.4f}  "
            f"{real / max(elapsed, 1e-9):,.0f} tokens/s  {int(left) // 60:d}:{int(left) % 60:02d} to go",
            file=sys.stderr, flush=True,
        )  # fmt: skip
