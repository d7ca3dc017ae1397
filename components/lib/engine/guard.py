"""Skips steps whose gradient is not finite, or whose norm spikes above the running mean."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW = 128  # good steps whose mean norm is the usual one


class Guard:
    """Judges gradient norms on the device; all ranks see the same norm, so all judge alike.

    Args:
        phases: optimizers of a step; each has a window of norms of its own.
        spike: a norm above this many times the mean of the last good ones is a spike; 0 = there are none.
    """

    def __init__(self, phases: int, spike: float, device: torch.device) -> None:
        self.spike = spike
        self.norms = torch.zeros(phases, WINDOW, device=device)
        self.seen = torch.zeros(phases, dtype=torch.int64, device=device)

    def judge(self, phase: int, norm: Tensor) -> Tensor:
        """Whether to skip the update, shape (); a bad norm does not enter the window."""
        bad = ~norm.isfinite()
        if self.spike:
            norms, seen = self.norms[phase], self.seen[phase]
            bad = bad | ((seen >= WINDOW) & (norm > self.spike * norms.mean()))
            place = (seen % WINDOW)[None]
            norms.scatter_(0, place, torch.where(bad, norms.gather(0, place), norm))
            seen.add_((~bad).long())
        return bad

    def state(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint."""
        return {"guard/norms": self.norms, "guard/seen": self.seen}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        self.norms.copy_(tensors["guard/norms"])
        self.seen.copy_(tensors["guard/seen"])
