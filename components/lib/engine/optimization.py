"""AdamW with decay groups, and learning-rate schedules as plain functions of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then `kind`: cosine to `floor`, wsd (flat, then linear to 0) or linear to `floor`.

    wsd: warm-up, stable, decay (Hu et al., "MiniCPM", 2024), whose last fifth decays.

    Attributes:
        warmup: share of the steps that warm up.
        floor: share of the peak rate that is left at the end.
    """

    kind: str
    peak: float
    steps: int
    warmup: float
    floor: float = 0.0

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 0)."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.peak * (step + 1) / rising
        done = (step - rising) / max(1, self.steps - rising)
        if self.kind == "cosine":
            share = 0.5 * (1 + math.cos(math.pi * done))
        elif self.kind == "wsd":
            share = min(1.0, (1 - done) / 0.2)
        else:
            share = 1 - done
        return self.peak * (self.floor + (1 - self.floor) * share)


def adamw(model: nn.Module, *, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov and Hutter, 2019); biases, norms and other vectors do not decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)


def update(optimizer: torch.optim.AdamW, parameters: Iterable[Tensor], clip: float) -> Tensor:
    """One step on gradients clipped to norm `clip`; returns the norm before clipping, shape ().

    A norm that is not finite makes the fused kernel leave weights and moments as they are. It selects, it
    does not multiply (0 * NaN is NaN), and the host does not wait for the answer.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    optimizer.grad_scale = (norm / clip).clamp(min=1.0)  # type: ignore[attr-defined]
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimizer.step()
    return norm
