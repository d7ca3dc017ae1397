"""Optimizers with weight-decay groups, gradient clipping, and learning-rate schedules of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.engine.lars import Lars, full_tensor
from components.lib.engine.trainable import Phase


@dataclass(frozen=True)
class Schedule:
    """Learning-rate schedule: linear warm-up, then cosine or linear decay to `floor`, or wsd.

    wsd: warm-up, stable, decay (Hu et al., "MiniCPM", 2024), whose last fifth decays linearly to 0.

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


def optimizer(kind: str, phase: Phase, *, weight_decay: float, betas: tuple[float, float]) -> Any:
    """`kind` over the weights of a phase: adamw (fused; Loshchilov and Hutter, 2019) or lars.

    Biases, norms and other vectors do not decay, and LARS does not scale their rates.
    """
    decay = weight_decay if phase.weight_decay is None else phase.weight_decay
    first, second = phase.betas or betas
    groups = [
        {"params": [p for p in phase.parameters if p.ndim >= 2], "weight_decay": decay, "scaled": True},
        {"params": [p for p in phase.parameters if p.ndim < 2], "weight_decay": 0.0, "scaled": False},
    ]
    groups = [{**group, "share": phase.rate} for group in groups if group["params"]]
    if kind == "lars":
        return Lars(groups, lr=0.0, momentum=first)
    return torch.optim.AdamW(groups, lr=0.0, betas=(first, second), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of the next step, times the share of each group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def update(
    optimizer: torch.optim.Optimizer, clip: float, judge: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """One optimizer step on gradients clipped to norm `clip`; the norm before clipping, and if it was bad.

    Both have shape (). On a bad norm, by `judge`, the optimizer leaves weights and moments as they are: it
    selects, it does not multiply (0 * NaN is NaN), and there is no host sync.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = full_tensor(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
    optimizer.grad_scale = (norm / clip).clamp(min=1.0)  # type: ignore[attr-defined]
    bad = judge(norm)
    optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm, bad
