"""What a person who waits sees."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """A line every few seconds: step, loss, rate, time to go."""

    steps: int
    first: int = 0
    every: float = 2.0
    label: str = "training"
    unit: str = "tokens"
    start: float = field(default_factory=time.perf_counter)
    last: float = 0.0

    def due(self) -> bool:
        """Whether it is time for a line."""
        return time.perf_counter() - self.last >= self.every

    def show(self, step: int, loss: float, real: float) -> None:
        """Prints the line of `step` finished steps; `real` units since the start or resume."""
        self.last = time.perf_counter()
        elapsed = self.last - self.start
        done = max(step - self.first, 1)
        left = elapsed / done * (self.steps - step)
        bar = "#" * round(24 * step / self.steps)
        print(
            f"{self.label} [{bar:<24}] {step}/{self.steps}  loss {loss:.4f}  "
            f"{real / max(elapsed, 1e-9):,.0f} {self.unit}/s  {int(left) // 60:d}:{int(left) % 60:02d} to go",
            file=sys.stderr, flush=True,
        )  # fmt: skip
