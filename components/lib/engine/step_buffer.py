"""The steps since the last row of the history: they stay on the device until somebody reads them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from components.lib.engine.distributed import World
from components.lib.engine.step import Outcome


class Recent:
    """Outcomes of steps, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """One more step."""
        self._outcomes.append(outcome)

    def clear(self) -> None:
        """A row was made of them."""
        self._outcomes.clear()

    def read(self) -> tuple[Tensor, list[list[float]], list[bool]]:
        """(steps, entries, columns) tables of all processes, gradient norms and what was skipped."""
        if not self._outcomes:
            return torch.empty(0), [], []
        tables = self.world.sum(torch.stack([outcome.table for outcome in self._outcomes]))
        norms = torch.stack([outcome.norms for outcome in self._outcomes])
        bad = torch.stack([outcome.bad for outcome in self._outcomes])
        return tables, norms.tolist(), bad.tolist()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        tables, norms, bad = self.read()
        return {"tables": tables.tolist(), "norms": norms, "bad": bad}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave: the tables are sums already, so one process brings them."""
        device = self.world.device
        for table, norms, bad in zip(state["tables"], state["norms"], state["bad"], strict=True):
            mine = torch.tensor(table, dtype=torch.float64, device=device)
            mine = mine if self.world.leads else torch.zeros_like(mine)
            self._outcomes.append(
                Outcome(mine, torch.tensor(norms, device=device), torch.tensor(bad, device=device))
            )
