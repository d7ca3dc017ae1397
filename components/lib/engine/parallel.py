"""How several processes hold one model."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from components.lib.engine.distributed import World, total
from components.lib.engine.trainable import Loss, Phase, WeightedSum


class Pass(nn.Module):
    """The model in one phase: what a wrapper wraps."""

    def __init__(self, model: WeightedSum, phase: str) -> None:
        super().__init__()
        self.model, self.phase = model, phase

    def forward(self, batches: list[Any]) -> list[Loss]:
        """The losses of the phase."""
        losses: list[Loss] = self.model(batches, self.phase)
        return losses


def wrap(one: Pass, phase: Phase, world: World, batches: list[Any]) -> nn.Module:
    """The pass with gradients averaged over the processes; called while only `phase` has gradients.

    Args:
        batches: any, to see whether a pass leaves weights unused: DDP would wait for them.
    """
    if world.size == 1:
        return one
    return DistributedDataParallel(
        one, broadcast_buffers=False, gradient_as_bucket_view=True,
        find_unused_parameters=_leaves_unused(one, phase, batches),
    )  # fmt: skip


def silent(module: nn.Module, last: bool) -> AbstractContextManager[object]:
    """The context of a pass after which gradients stay here, unless it is the last of the step."""
    if isinstance(module, DistributedDataParallel) and not last:
        return module.no_sync()
    return nullcontext()


def _leaves_unused(one: Pass, phase: Phase, batches: list[Any]) -> bool:
    """Tried out on copies of the buffers, so that it leaves no trace."""
    buffers = {name: buffer.clone() for name, buffer in one.named_buffers()}
    losses: list[Loss] = functional_call(one, buffers, (batches,))
    whole = torch.stack([loss.total for loss in losses]).sum()
    return None in torch.autograd.grad(whole, phase.parameters, allow_unused=True)


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalises by the statistics of the global batch, on any device (torch's own needs a GPU)."""

    def _check_input_dim(self, values: Tensor) -> None:
        """Any number of dimensions from two on."""

    def forward(self, values: Tensor) -> Tensor:
        """In two passes, as E[x^2] - E[x]^2 would lose digits."""
        if not self.training:
            return super().forward(values)
        dims = [0, *range(2, values.ndim)]
        shape = [1, -1, *[1] * (values.ndim - 2)]
        wide = values.float()
        count = total(wide.new_tensor(values.numel() / values.shape[1]))
        mean = total(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        variance = total(centred.square().sum(dims)) / count
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(values.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def share_statistics(model: nn.Module) -> None:
    """Makes every batch norm of the model use the global batch, so that the world changes nothing."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.__class__ = BatchNorm  # type: ignore[assignment]
