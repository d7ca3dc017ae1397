"""Batch norm over the global batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from components.lib.engine.distributed import total


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalises by the statistics of all processes, on any device (torch's own needs a GPU).

    A step of several passes has statistics of each pass: an objective that minds declares WHOLE_BATCH.
    """

    def _check_input_dim(self, values: Tensor) -> None:
        """Any number of dimensions from two on."""

    def forward(self, values: Tensor) -> Tensor:
        """In two passes, as E[x^2] - E[x]^2 would lose digits."""
        if not self.training:
            return super().forward(values)
        dims = [0, *range(2, values.ndim)]
        shape = [1, -1, *[1] * (values.ndim - 2)]
        wide = values.float()
        count = total(wide.new_full((), values.numel() / values.shape[1]))
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
        good = mean.isfinite() & variance.isfinite()  # one bad batch would be remembered for ever
        for kept, new in ((self.running_mean, mean), (self.running_var, variance)):
            kept.copy_(torch.where(good, kept.lerp(new.to(kept.dtype), share), kept))


def share_statistics(model: nn.Module) -> None:
    """Makes every batch norm of the model use the global batch, so that the world changes nothing."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.__class__ = BatchNorm  # type: ignore[assignment]


@contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """Within, batch norms use the statistics of the batch, but keep those that they have."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta, counts = [n.momentum for n in norms], [n.num_batches_tracked for n in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
