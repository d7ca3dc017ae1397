"""Dropout with counter-based masks: pure functions of (seed, epoch, sample, call, position).

Masks of torch's generator depend on what else is in the batch, so the number of ranks and micro-batches would
change what is trained. Here each sample of a micro-batch has a key; a mask is a hash of the key and the place
in the sample (`device_noise`), and each call moves all keys on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from components.lib.engine import device_noise
from components.lib.engine.randomness import Draw, hashed

NEXT = 0x632BE5AB  # added to the keys by each call; odd


class _Now:
    keys: Tensor | None = None  # int32, of the leading dimensions of what comes next


class Dropout(nn.Dropout):
    """nn.Dropout with masks by the keys of `keyed`; torch's own outside of it, or if they do not fit."""

    def forward(self, values: Tensor) -> Tensor:
        """Zeroes a share p of the values, in steps of 2^-16, and scales the others."""
        keys = _Now.keys
        if keys is None or not self.training:
            return super().forward(values)
        copies = len(values) // len(keys) if keys.ndim == 1 else 1  # such as two views in one batch
        if values.shape[: keys.ndim] != (copies * len(keys), *keys.shape[1:]):
            return super().forward(values)
        _Now.keys = keys + NEXT
        kept, share = device_noise.bernoulli(keys.flatten(), values.numel() // keys.numel(), 1 - self.p)
        kept = kept.view(keys.numel(), copies, -1).transpose(0, 1).reshape(values.shape)
        return values.masked_fill(~kept, 0.0) * (1 / share)


def convert(model: nn.Module) -> bool:
    """Replaces every nn.Dropout of the model in place; whether there is one that drops anything."""
    found = [module for module in model.modules() if type(module) in (nn.Dropout, Dropout) and module.p]
    for module in found:
        module.__class__ = Dropout
    return bool(found)


def keys_of(draw: Draw) -> Tensor:
    """(n,) int32 keys of samples, on the CPU."""
    return torch.from_numpy((hashed(draw.seed, "dropout", draw.epochs, draw.ids) >> 33).astype("int32"))


@contextmanager
def keyed(keys: Tensor | None, phase: int = 0) -> Iterator[None]:
    """Within, masks come from these keys, of the leading dimensions of the values; None: torch's own."""
    before, _Now.keys = _Now.keys, keys if keys is None else keys ^ phase
    try:
        yield
    finally:
        _Now.keys = before


@contextmanager
def rekeyed(change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within, keys of other dimensions, made from the present ones: of tokens from those of samples, say."""
    if _Now.keys is None:
        yield
        return
    with keyed(device_noise.mixed(change(_Now.keys))):
        yield
    _Now.keys = _Now.keys + NEXT


def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """`context_fn` of torch.utils.checkpoint: a recomputation has the keys of its forward pass."""
    return nullcontext(), keyed(_Now.keys)
