"""Synchronised batch norm: statistics of the global batch, on any device (torch's own needs a GPU)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from components.lib.engine.distributed import all_reduce


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose mean and variance are those of all ranks.

    A step of several micro-batches has statistics of each: an objective that minds declares WHOLE_BATCH.
    """

    def _check_input_dim(self, values: Tensor) -> None:
        """Any number of dimensions from two on."""

    def forward(self, values: Tensor) -> Tensor:
        """Mean first, then variance, as E[x^2] - E[x]^2 would lose digits."""
        if not self.training:
            return super().forward(values)
        dims = [0, *range(2, values.ndim)]
        shape = [1, -1, *[1] * (values.ndim - 2)]
        wide = values.float()
        count = all_reduce(wide.new_full((), values.numel() / values.shape[1]))
        mean = all_reduce(wide.sum(dims)) / count
        centred = wide - mean.view(shape)
        variance = all_reduce(centred.square().sum(dims)) / count
        self._update_running(mean.detach(), (variance * count / (count - 1)).detach())
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(values.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        good = mean.isfinite() & variance.isfinite()  # one bad batch would stay in the average for ever
        for kept, new in ((self.running_mean, mean), (self.running_var, variance)):
            kept.copy_(torch.where(good, kept.lerp(new.to(kept.dtype), share), kept))


def sync_batch_norms(model: nn.Module) -> None:
    """Converts every batch norm of the model in place, so that the number of ranks changes nothing."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.__class__ = SyncBatchNorm  # type: ignore[assignment]


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Normalises with batch statistics without updating running statistics."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, state in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = state
