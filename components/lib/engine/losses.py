"""Loss sums as tables, additive over micro-batches, ranks and steps, and their names in the history."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from components.lib.engine.distributed import World
from components.lib.engine.plan import HeldOut
from components.lib.engine.precision import autocast
from components.lib.engine.trainable import Entry, Loss, WeightedSum
from components.lib.engine.transfer import moved

Row = dict[str, float]


class Table:
    """Layout of a loss table: a row an entry, with its sum, its weight and its parts, in float64."""

    def __init__(self, model: WeightedSum) -> None:
        self.entries: list[Entry] = model.entries()
        terms = list(model.terms)
        self.terms = [terms.index(entry.term) for entry in self.entries]  # whose batch an entry reads
        self.scales = [model.coefficients[entry.term] for entry in self.entries]
        self.shape = (len(self.entries), 2 + max(len(entry.parts) for entry in self.entries))

    def of(self, losses: list[Loss], weights: Tensor) -> Tensor:
        """The table of one micro-batch; `weights` are on the device already, to avoid a host sync."""
        rows = []
        for entry, loss, weight in zip(self.entries, losses, weights, strict=True):
            parts = [loss.parts[name].detach().double() for name in entry.parts]
            row = torch.stack([loss.total.detach().double(), weight.double(), *parts])
            rows.append(nn.functional.pad(row, (0, self.shape[1] - len(row))))
        return torch.stack(rows)

    def weights(self, batches: list[Any]) -> Tensor:
        """(entries,) weight of each entry: supervised units of its batch, on the CPU."""
        return torch.tensor([batches[term].weight for term in self.terms], dtype=torch.float64)

    def named(self, table: Tensor) -> Row:
        """Mean losses by name: the total, each entry and its parts."""
        row: Row = {}
        total = 0.0
        for entry, scale, sums in zip(self.entries, self.scales, table.tolist(), strict=True):
            weight = sums[1] or float("nan")
            row[entry.label] = sums[0] / weight
            total += scale * row[entry.label]
            named = zip(entry.parts, sums[2:], strict=False)
            row |= {f"{entry.label}/{part}": value / weight for part, value in named}
        return {"loss": total, **row}


@torch.no_grad()
def measure(model: WeightedSum, held_out: HeldOut, precision: str, world: World) -> Tensor:
    """Validation: the loss table over held-out batches, dealt to the ranks in turn, the same number each."""
    table, was = Table(model), [(module, module.training) for module in model.modules()]
    model.eval()
    total = torch.zeros(table.shape, dtype=torch.float64, device=world.device)
    for start in range(0, len(held_out.draws), world.size):
        mine = start + world.rank
        draw = held_out.draws[mine if mine < len(held_out.draws) else 0]
        batches = model.prepare(held_out.samples, draw)
        with autocast(precision, world.device):
            there = moved(batches, world.device)
            losses = [loss for phase in model.phases() for loss in model(there, phase)]
        if mine < len(held_out.draws):
            total += table.of(losses, table.weights(batches).to(world.device))
    for module, training in was:  # some of them may be frozen
        module.training = training
    return world.all_reduce(total)
