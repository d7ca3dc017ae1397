"""Data parallelism, replicated (DDP) or sharded (FSDP2); activation checkpointing and torch.compile.

A block is a child of the outermost `nn.ModuleList`s of the model, such as a layer of a transformer: the unit
of sharding, recomputation and compilation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from components.lib.engine.distributed import World
from components.lib.engine.dropout import contexts
from components.lib.engine.normalization import sync_batch_norms
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import Loss, Phase, WeightedSum

STATE = 16  # bytes a trained parameter takes in fp32: weight, gradient and two moments


class Pass(nn.Module):
    """The forward pass of one phase: the module that DDP wraps."""

    def __init__(self, model: WeightedSum, phase: str) -> None:
        super().__init__()
        self.model, self.phase = model, phase

    def forward(self, batches: list[Any]) -> list[Loss]:
        """The losses of the phase."""
        losses: list[Loss] = self.model(batches, self.phase)
        return losses


def prepare(model: WeightedSum, plan: Plan, world: World) -> None:
    """Applies recompute, compile and FSDP to the model in place; before an optimizer has its parameters."""
    if world.size > 1:
        sync_batch_norms(model)
    for block in blocks(model):
        if plan.compile:
            block.forward = torch.compile(block.forward)
        if plan.recompute:  # outside: what is compiled would not be looked for within a checkpoint
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, context_fn=contexts)
    if world.size > 1 and choose(plan.parallel, model, world) == "fsdp":
        half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        policy = half if plan.precision == "bf16" else MixedPrecisionPolicy()
        for parameter in model.parameters():
            parameter.data = parameter.data.contiguous()  # channels-last weights cannot be sharded by rows
        mesh = init_device_mesh(world.device.type, (world.size,))
        for block in blocks(model):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)


def choose(wanted: str, model: nn.Module, world: World) -> str:
    """Resolves auto, ddp or fsdp: auto is fsdp if the training state fills a third of the memory."""
    if wanted != "auto":
        return wanted
    state = STATE * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return "fsdp" if 3 * state > _memory(world.device) else "ddp"


def wrap(one: Pass, phase: Phase, world: World, batches: list[Any]) -> nn.Module:
    """The pass with gradients averaged over the ranks; called while only `phase` requires gradients.

    Args:
        batches: any, to see whether a pass leaves parameters unused: DDP would wait for them.
    """
    if world.size == 1 or isinstance(one.model, FSDPModule):
        return one
    unused = _has_unused_parameters(one, phase, batches)
    return DistributedDataParallel(
        one, forward_sync_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=unused
    )


def no_sync(module: nn.Module, last: bool) -> AbstractContextManager[object]:
    """Skips gradient reduction except on the last micro-batch."""
    if isinstance(module, DistributedDataParallel):
        return nullcontext() if last else module.no_sync()
    if isinstance(module.model, FSDPModule):
        module.model.set_requires_gradient_sync(last)
    return nullcontext()


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The outermost children of module lists that have parameters, each once: objectives share a trunk."""
    yield from dict.fromkeys(_blocks(model))


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from (block for block in child if any(True for _ in block.parameters()))
        else:
            yield from _blocks(child)


def unshard(model: nn.Module) -> None:
    """Gathers the full parameters of an FSDP model on every rank; it trains no more."""
    full: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if isinstance(parameter, DTensor):
                if id(parameter) not in full:
                    full[id(parameter)] = nn.Parameter(parameter.full_tensor(), parameter.requires_grad)
                setattr(module, name, full[id(parameter)])


def _has_unused_parameters(one: Pass, phase: Phase, batches: list[Any]) -> bool:
    """A trial pass, on copies of the buffers so that it leaves no trace."""
    buffers = {name: buffer.clone() for name, buffer in one.named_buffers()}
    losses: list[Loss] = functional_call(one, buffers, (batches,))
    total = torch.stack([loss.total for loss in losses]).sum()
    return None in torch.autograd.grad(total, phase.parameters, allow_unused=True)


def _memory(device: torch.device) -> float:
    """Bytes of memory for one rank."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return machine / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
