"""Step metrics buffered on the device until the next log row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from components.lib.engine.distributed import World
from components.lib.engine.step import StepResult


class StepBuffer:
    """Results of the steps since the last row, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._results: list[StepResult] = []

    def add(self, result: StepResult) -> None:
        """Appends a step."""
        self._results.append(result)

    def clear(self) -> None:
        """Empties the buffer, after a row."""
        self._results.clear()

    def read(self) -> tuple[Tensor, list[list[float]], list[bool]]:
        """(steps, entries, columns) loss tables summed over all ranks, gradient norms, skipped or not."""
        if not self._results:
            return torch.empty(0), [], []
        tables = self.world.all_reduce(torch.stack([result.table for result in self._results]))
        norms = torch.stack([result.norms for result in self._results])
        bad = torch.stack([result.bad for result in self._results])
        return tables, norms.tolist(), bad.tolist()

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
            self.add(StepResult(mine, torch.tensor(norms, device=device), torch.tensor(bad, device=device)))
