"""What the engine trains: anything that prepares batches and returns losses as sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from components.lib.engine.randomness import Draw


@dataclass
class Loss:
    """A loss as a sum, so that it can be divided by the weight of the whole global batch.

    Attributes:
        total: () sum over the supervised units of this batch, with gradient.
        weight: how many units; known before the forward pass.
        parts: other sums over the same units to report (accuracy, ...), without gradient.
    """

    total: Tensor
    weight: float
    parts: dict[str, Tensor] = field(default_factory=dict)


class Batch(Protocol):
    """Tensors for one forward pass."""

    weight: float

    def to(self, device: torch.device) -> Any:
        """The batch on a device."""
        ...


class Trainable(Protocol):
    """An objective or a task: an nn.Module that owns trunk and head."""

    def prepare(self, samples: Any, draw: Draw) -> Any:
        """The batch of `draw` from `samples`, on the CPU; a pure function, called in the loader's thread."""
        ...

    def __call__(self, batch: Any) -> Loss:
        """The loss of a batch."""
        ...


class WeightedSum(nn.Module):
    """Several objectives on one trunk: each term is divided by its own weight, then scaled and added.

    A term is called by the name of its objective; its parts are `name/part`.
    """

    def __init__(self, terms: dict[str, nn.Module], coefficients: dict[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.coefficients = coefficients

    def prepare(self, samples: Any, draw: Draw) -> list[Any]:
        """One batch a term."""
        return [term.prepare(samples, draw) for term in self.terms.values()]  # type: ignore[operator]

    def forward(self, batches: list[Any]) -> list[Loss]:
        """One loss a term."""
        return [term(batch) for term, batch in zip(self.terms.values(), batches, strict=True)]

    def scales(self) -> list[float]:
        """The coefficients, in the order of the terms."""
        return [self.coefficients[name] for name in self.terms]

    def after_step(self, step: int) -> None:
        """Lets objectives move what no gradient moves, such as an EMA teacher."""
        for term in self.terms.values():
            hook = getattr(term, "after_step", None)
            if hook is not None:
                hook(step)


def units(batches: list[Any]) -> Tensor:
    """(k,) supervised units of each term's batch."""
    return torch.tensor([batch.weight for batch in batches], dtype=torch.float64)
