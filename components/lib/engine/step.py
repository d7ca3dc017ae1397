"""One optimizer step: the same gradient for any number of ranks and micro-batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from components.lib.core.failpoints import reach
from components.lib.engine import dropout
from components.lib.engine.checkpoint.layout import capture, restore
from components.lib.engine.distributed import DelayedScalar, World
from components.lib.engine.guard import Guard
from components.lib.engine.losses import Table
from components.lib.engine.optimization import optimizer, set_rate, update
from components.lib.engine.parallel import Pass, no_sync, prepare, wrap
from components.lib.engine.plan import Plan
from components.lib.engine.precision import autocast, set_fp32_precision
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss, WeightedSum, only_phase
from components.lib.engine.transfer import moved

Batches = list[Any]  # one a term


@dataclass(frozen=True)
class MicroBatch:
    """What one forward pass reads.

    Attributes:
        batches: one a term.
        keys: (n,) dropout keys of the samples, or None.
    """

    batches: Batches
    keys: Tensor | None = None


@dataclass(frozen=True)
class StepResult:
    """Losses and gradient norms of a step, on the device.

    Attributes:
        table: the losses of this rank.
        norms: (phases,) gradient norms.
        bad: () whether a phase was skipped.
    """

    table: Tensor
    norms: Tensor
    bad: Tensor


class StepBuffer(list[StepResult]):
    """Step metrics buffered on the device until the next log row."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def read(self) -> tuple[Tensor, list[list[float]], list[bool]]:
        """(steps, entries, columns) loss tables summed over all ranks, gradient norms, skipped or not."""
        if not self:
            return torch.empty(0), [], []
        tables, norms, bad = (torch.stack([getattr(r, n) for r in self]) for n in ("table", "norms", "bad"))
        return self.world.all_reduce(tables), norms.tolist(), bad.tolist()

    def state(self) -> dict[str, Any]:
        """JSON of a checkpoint."""
        tables, norms, bad = self.read()
        return {"tables": tables.tolist(), "norms": norms, "bad": bad}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave: the tables are reduced already, so rank 0 alone brings them."""
        device = self.world.device
        for table, norms, bad in zip(state["tables"], state["norms"], state["bad"], strict=True):
            mine = torch.tensor(table, dtype=torch.float64, device=device)
            mine = mine if self.world.leads else torch.zeros_like(mine)
            self.append(
                StepResult(mine, torch.tensor(norms, device=device), torch.tensor(bad, device=device))
            )


class Step:
    """Takes steps of `model`: forward and backward of all micro-batches, then the update, phase after phase.

    Attributes:
        optimizers: one a phase.
    """

    def __init__(self, model: WeightedSum, plan: Plan, world: World) -> None:
        set_fp32_precision(plan.precision, world.device)
        self._drops = dropout.convert(model)
        prepare(model, plan, world)
        self.model, self.plan, self.world = model, plan, world
        self.phases, self.table = model.phases(), Table(model)
        self.optimizers = {
            name: optimizer(plan.optimizer, phase, weight_decay=plan.weight_decay, betas=plan.betas)
            for name, phase in self.phases.items()
        }
        self.guard = Guard(len(self.phases), plan.spike, world.device)
        self._modules: dict[str, torch.nn.Module] = {}
        self._scales = torch.tensor(self.table.scales, device=world.device) * world.size
        self._stop = DelayedScalar()

    def take(self, number: int, micro_batches: list[MicroBatch], stop: bool) -> tuple[StepResult, bool]:
        """Step `number`, and whether any rank was told to `stop`.

        There is no host sync in here: a request to stop is known one step late where the device is not CPU.
        """
        device = self.world.device
        counted = torch.stack([self.table.weights(micro_batch.batches) for micro_batch in micro_batches])
        mine = torch.cat([counted.flatten(), torch.tensor([float(stop)], dtype=torch.float64)])
        mine = mine.to(device, non_blocking=True)
        weights = mine[:-1].view_as(counted)
        shared = self.world.all_reduce(torch.cat([weights.sum(dim=0), mine[-1:]]))
        scales = self._scales / shared[:-1].clamp(min=1)
        tables, norms, bad, first = [], [], [], 0
        for place, name in enumerate(self.phases):
            many = sum(entry.phase == name for entry in self.table.entries)
            rows = slice(first, first := first + many)
            tables.append(self._run(name, micro_batches, scales[rows]))
            set_rate(self.optimizers[name], self.plan.schedule.rate(number))
            norm, skipped = update(self.optimizers[name], self.plan.clip, partial(self.guard.judge, place))
            norms.append(norm)
            bad.append(skipped)
        self.model.after_step(number, self.plan.schedule.steps)
        losses = [[loss for phase in tables for loss in phase[at]] for at in range(len(counted))]
        sums = [self.table.of(each, weight) for each, weight in zip(losses, weights, strict=True)]
        result = StepResult(torch.stack(sums).sum(dim=0), torch.stack(norms), torch.stack(bad).any())
        return result, self._stop.read(shared[-1]) > 0

    def keys(self, draw: Draw) -> Tensor | None:
        """The dropout keys of a micro-batch, if the model has dropout."""
        return dropout.keys_of(draw) if self._drops else None

    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint: weights, buffers, moments, guard."""
        return {**capture(self.model, self.optimizers.values()), **self.guard.state()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts back, in place, what `state` gave: the rows of it that this rank needs."""
        restore(self.model, self.optimizers.values(), tensors)
        self.guard.restore(tensors)

    def _run(self, name: str, micro_batches: list[MicroBatch], scales: Tensor) -> list[list[Loss]]:
        """Forward and backward of each micro-batch in one phase, gradients accumulated; their losses."""
        made = []
        with only_phase(self.phases[name], self.phases):
            for number, micro_batch in enumerate(micro_batches):
                micro_batch = moved(micro_batch, self.world.device)
                module = self._module(name, micro_batch.batches)
                last = number == len(micro_batches) - 1
                with no_sync(module, last), dropout.keyed(micro_batch.keys, list(self.phases).index(name)):
                    with autocast(self.plan.precision, self.world.device):
                        losses: list[Loss] = module(micro_batch.batches)
                    if reach("training.loss"):
                        losses[0].total = losses[0].total * torch.nan
                    torch.autograd.backward(_total(losses, scales))
                for loss in losses:
                    loss.total = loss.total.detach()
                made.append(losses)
        return made

    def _module(self, name: str, batches: Batches) -> torch.nn.Module:
        if name not in self._modules:
            with autocast(self.plan.precision, self.world.device):
                one = Pass(self.model, name)
                self._modules[name] = wrap(one, self.phases[name], self.world, batches)
        return self._modules[name]


def _total(losses: list[Loss], scales: Tensor) -> Tensor:
    """The scalar to differentiate; a loss that is not finite makes the whole gradient so, on every rank."""
    totals = torch.stack([loss.total for loss in losses])
    return (totals * torch.where(totals.isfinite(), scales, torch.nan).to(totals.dtype)).sum()
