"""Memory-efficient cross-entropy over a large vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CACHED, RESIDENT = 2**18, 2**26  # logits widened to fp32 at once: on a CPU (they stay in its cache), on a GPU


def predict(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy, summed over rows in at least fp32, and how many targets are their row's largest.

    The same as torch's cross_entropy on `logits.float()`, without a wide copy of all logits.

    Args:
        logits: (n, classes).
        targets: (n,) classes.
    """
    total, hits = _CrossEntropy.apply(logits, targets)  # type: ignore[no-untyped-call]
    return total, hits


class _CrossEntropy(torch.autograd.Function):
    """Fused forward and gradient, chunk by chunk; the backward pass only scales it."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses, hits, first = [], [], 0
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        for part, wanted in _parts(logits, targets):
            top, found = part.amax(1, keepdim=True), part.gather(1, wanted[:, None])
            hits.append((found >= top).sum())
            shares = (part - top).exp_()
            sums = shares.sum(1, keepdim=True)
            losses.append((sums.log() + top - found).sum())
            if gradient is not None:
                shares.div_(sums).scatter_add_(1, wanted[:, None], shares.new_full((len(part), 1), -1.0))
                gradient[first : (first := first + len(part))] = shares
        if not losses:
            return logits.sum().to(_wide(logits)), targets.sum()
        ctx.save_for_backward(gradient)
        right = torch.stack(hits).sum()
        ctx.mark_non_differentiable(right)
        return torch.stack(losses).sum(), right

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.saved_tensors:
            return None, None
        (gradient,) = ctx.saved_tensors  # in place: torch tells who asks for it twice
        return gradient.mul_(gradients[0]), None


def _wide(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _parts(logits: Tensor, targets: Tensor) -> Any:
    rows = max(1, (CACHED if logits.device.type == "cpu" else RESIDENT) // logits.shape[1])
    for start in range(0, len(logits), rows):
        yield logits[start : start + rows].to(_wide(logits)), targets[start : start + rows]
