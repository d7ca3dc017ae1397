"""Steps that would do harm: gradients that are not finite, or far larger than usual."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW = 128  # good steps that say what is usual


class Guard:
    """Judges gradient norms on the device; all processes see the same norm, so all judge alike.

    Args:
        phases: how many optimizers a step has; each has norms of its own.
        spike: a norm above this many times the mean of the last good ones is a spike; 0 = there are none.
    """

    def __init__(self, phases: int, spike: float, device: torch.device) -> None:
        self.spike = spike
        self.norms = torch.zeros(phases, WINDOW, device=device)
        self.seen = torch.zeros(phases, dtype=torch.int64, device=device)

    def judge(self, phase: int, norm: Tensor) -> Tensor:
        """Whether the update is to be skipped, shape (). Bad norms are kept out of what is usual."""
        bad = ~norm.isfinite()
        if self.spike:
            norms, seen = self.norms[phase], self.seen[phase]
            bad = bad | ((seen >= WINDOW) & (norm > self.spike * norms.mean()))
            place = (seen % WINDOW)[None]
            norms.scatter_(0, place, torch.where(bad, norms.gather(0, place), norm))
            seen.add_((~bad).long())
        return bad

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"guard/norms": self.norms, "guard/seen": self.seen}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        self.norms.copy_(tensors["guard/norms"])
        self.seen.copy_(tensors["guard/seen"])
