"""LARS optimizer: layer-wise adaptive rate scaling (You, Gitman and Ginsburg, 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lars(torch.optim.Optimizer):
    """Momentum on gradients scaled by trust * |weight| / |gradient + decay|, as SimCLR and BYOL use it.

    A group that is not `scaled` (vectors) is plain SGD with momentum. Like torch's fused optimizers it
    divides by the attribute `grad_scale` and changes nothing where `found_inf` is set.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, momentum: float = 0.9, trust: float = 0.001
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0, "scaled": True}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; a closure is not called."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        gradient = weight.grad if self.grad_scale is None else weight.grad / self.grad_scale
        gradient = gradient.add(weight, alpha=group["weight_decay"])
        if group["scaled"]:
            sizes = torch.stack([full_tensor(torch.linalg.vector_norm(each)) for each in (weight, gradient)])
            share = group["trust"] * sizes[0] / sizes[1]
            gradient = gradient * torch.where((sizes > 0).all(), share, torch.ones_like(share))
        state = self.state[weight]
        before = state.get("momentum_buffer")
        before = torch.zeros_like(weight) if before is None else before
        buffer = before * group["momentum"] + gradient
        moved = weight - group["lr"] * buffer
        if self.found_inf is not None:
            bad = self.found_inf > 0
            buffer, moved = torch.where(bad, before, buffer), torch.where(bad, weight, moved)
        state["momentum_buffer"] = buffer
        weight.copy_(moved)


def full_tensor(value: Tensor) -> Tensor:
    """The value of a DTensor over all ranks; a plain tensor as it is."""
    full: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return full
