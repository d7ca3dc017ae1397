"""Progress lines on stderr for a person who waits, one a report: a log keeps no carriage returns."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

EVERY = 2.0  # seconds between two lines


@dataclass
class Progress:
    """Step, loss, rate and time left, from step `first` of `steps`; `unit` is what the rate counts."""

    steps: int
    first: int
    label: str
    unit: str
    start: float = field(default_factory=time.perf_counter)
    last: float = 0.0

    def show(self, step: int, loss: float, real: float) -> None:
        """Prints a line for `step` finished steps, if one is due; `real` units since the start or resume."""
        now = time.perf_counter()
        if now - self.last < EVERY:
            return
        self.last, elapsed = now, now - self.start
        left = int(elapsed / max(step - self.first, 1) * (self.steps - step))
        bar, rate = "#" * round(24 * step / self.steps), real / max(elapsed, 1e-9)
        line = f"{self.label} [{bar:<24}] {step}/{self.steps}  loss {loss:.4f}  {rate:,.0f} {self.unit}/s"
        print(f"{line}  {left // 60:d}:{left % 60:02d} to go", file=sys.stderr, flush=True)
