"""New samples with a share of old ones in every batch, against forgetting: a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.lib.engine.order import Order
from components.lib.engine.randomness import Draw


def order(samples: Any, batch: int, seed: int, share: float) -> Order:
    """The order of `samples`, of which the first `samples.fresh` are new."""
    fresh = int(samples.fresh)
    if fresh in (0, len(samples)):
        return Order(len(samples), batch, seed)
    old = min(max(round(batch * share), 1 if share else 0), batch - 1)
    return Replay(len(samples), batch, seed, fresh, old)


@dataclass(frozen=True)
class Replay(Order):
    """New samples [0, fresh) and old ones [fresh, samples), each in an order and with epochs of their own.

    Attributes:
        fresh: how many samples are new.
        old: how many of a batch are not. They are spread evenly over it.
    """

    fresh: int
    old: int

    def draw(self, step: int) -> Draw:
        """The global batch of step `step` (from 0)."""
        places = np.arange(self.batch, dtype=np.int64)
        is_old = (places + 1) * self.old // self.batch > places * self.old // self.batch
        ids, epochs = np.empty_like(places), np.empty_like(places)
        new = Order(self.fresh, self.batch - self.old, self.seed).draw(step)
        ids[~is_old], epochs[~is_old] = new.ids, new.epochs
        if self.old:
            again = Order(self.samples - self.fresh, self.old, self.seed).draw(step)
            ids[is_old], epochs[is_old] = again.ids + self.fresh, again.epochs
        return Draw(ids, epochs, self.seed)
