"""The contract of objectives and tasks (batches in, loss sums out), and the weighted sum of several.

An objective or a task is an nn.Module that owns trunk and head, and has
    prepare(samples, draw) -> batch  on the CPU; a pure function, called in the loader's thread. A batch
                                     has a length and the `weight` of its loss; its tensors may be in
                                     dataclasses, lists, tuples and dicts.
    forward(batch) -> Loss
It may also have
    phases() -> dict[str, Phase]     several phases a step, in this order (a GAN's two players); it is then
                                     called with (batch, phase). Without it: one, over everything.
    after_step(step, steps)          updates without gradient, such as an EMA teacher, after step `step` of
                                     `steps`. What it updates must be a parameter without gradient or a
                                     buffer: those are in the checkpoint.
    PARTS                            names of the parts of its loss; by phase, if it has phases.
    read(hidden, batch) -> Loss      `forward` of the trunk's states at `batch.places`: objectives that have
                                     it share one pass of the trunk, over the rows `batch.packed`. One of
                                     them may have OWN_ROWS = True; the others' `prepare` then takes its rows
                                     as a third argument, and may change what stands in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.errors import ConfigError
from components.lib.engine.randomness import Draw

MAIN = "main"  # the phase of every objective that names none
DEFAULT = (1.0, None, None)  # rate, betas and weight decay of a phase that leaves them to the plan


@dataclass
class Loss:
    """A loss as a sum over units, to be divided by the weight of the whole global batch.

    Attributes:
        total: () sum over the supervised units of this batch, with gradient.
        weight: how many units; known before the forward pass.
        parts: other sums over the same units to report (accuracy, ...), without gradient.
    """

    total: Tensor
    weight: float
    parts: dict[str, Tensor] = field(default_factory=dict)


class PerSample(Sized):
    """A batch that the engine counts in samples (images, pairs, rows), none of which is padding."""

    @property
    def weight(self) -> float:
        """Samples, each of which weighs 1 in the loss."""
        return float(len(self))

    @property
    def real(self) -> int:
        """Samples that carry data."""
        return len(self)

    @property
    def slots(self) -> int:
        """Samples that are computed."""
        return len(self)


class Supervised(nn.Module):
    """The objective of a task: a loss of its branch on labelled examples."""

    PARTS: tuple[str, ...] = ("accuracy",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def prepare(self, samples: Any, draw: Draw) -> Any:
        """The batch of a draw."""
        return samples.batch(draw.ids)


@dataclass(frozen=True)
class Phase:
    """Optimization phase: a forward and backward pass with its own optimizer, as of a GAN's two players.

    Attributes:
        parameters: what it trains; others get no gradient meanwhile.
        rate: factor on the learning rate of the plan.
        betas, weight_decay: instead of the plan's.
    """

    parameters: tuple[nn.Parameter, ...]
    rate: float = 1.0
    betas: tuple[float, float] | None = None
    weight_decay: float | None = None

    def merged(self, other: Phase) -> Phase:
        """One phase over the parameters of both; ConfigError if their own hyper-parameters differ."""
        mine, theirs = ((phase.rate, phase.betas, phase.weight_decay) for phase in (self, other))
        if DEFAULT not in (mine, theirs) and mine != theirs:
            raise ConfigError(
                "two objectives want other hyper-parameters for one phase", found=mine, expected=theirs
            )
        known = {id(parameter) for parameter in self.parameters}
        new = (parameter for parameter in other.parameters if id(parameter) not in known)
        return Phase((*self.parameters, *new), *(theirs if mine == DEFAULT else mine))


@dataclass(frozen=True)
class Entry:
    """A minimised loss: that of one term (objective) in one phase.

    Attributes:
        label: its name in the history.
        parts: names of the sums that its loss reports.
    """

    term: str
    phase: str
    label: str
    parts: tuple[str, ...]


class WeightedSum(nn.Module):
    """Multi-task loss: objectives on one trunk, each divided by its own weight, then scaled and added.

    A term is called by the name of its objective; its parts are `name/part`.

    Attributes:
        shared: the terms that share one pass of the trunk, by name; none, or several.
    """

    def __init__(self, terms: dict[str, nn.Module], coefficients: dict[str, float]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict(terms)
        self.coefficients = coefficients
        readers = [name for name, term in terms.items() if hasattr(term, "read")]
        owners = [name for name in readers if hasattr(terms[name], "OWN_ROWS")]
        shared = [name for name in readers if name not in owners[1:]]
        self.shared = tuple(shared) if len(shared) > 1 else ()

    def prepare(self, samples: Any, draw: Draw) -> list[Any]:
        """One batch a term; of those that share a pass, the first alone holds the rows."""
        found: dict[str, Any] = {}
        rows: tuple[Any, ...] = ()
        for name in sorted(self.shared, key=lambda name: not hasattr(self.terms[name], "OWN_ROWS")):
            found[name] = self.terms[name].prepare(samples, draw, *rows)  # type: ignore[operator]
            rows = (found[name].packed,)
        for place, name in enumerate(self.shared):
            found[name] = replace(found[name], packed=None if place else rows[0])
        for name, term in self.terms.items():
            if name not in found:
                found[name] = term.prepare(samples, draw)  # type: ignore[operator]
        return [found[name] for name in self.terms]

    def forward(self, batches: list[Any], phase: str = MAIN) -> list[Loss]:
        """One loss for each term that takes part in the phase."""
        losses, hidden = [], self._shared(batches) if self.shared and phase == MAIN else {}
        for (name, term), batch in zip(self.terms.items(), batches, strict=True):
            if name in hidden:
                losses.append(term.read(hidden[name], batch))  # type: ignore[operator]
            elif not hasattr(term, "phases"):
                losses += [term(batch)] if phase == MAIN else []
            elif phase in _phases(term):
                losses.append(term(batch, phase))
        return losses

    def _shared(self, batches: list[Any]) -> dict[str, Tensor]:
        """One pass of the trunk for several terms: the states that each of them reads."""
        reading = {n: batch for n, batch in zip(self.terms, batches, strict=True) if n in self.shared}
        leader: Any = self.terms[self.shared[0]]
        places = torch.cat([batch.places for batch in reading.values()])
        hidden = leader.trunk(reading[self.shared[0]].packed, places)
        parts = hidden.split([len(batch.places) for batch in reading.values()])
        return dict(zip(reading, parts, strict=True))

    def phases(self) -> dict[str, Phase]:
        """The phases of all terms by name, in the order in which terms name them.

        Raises:
            ConfigError: if two phases train one weight, or two terms want other hyper-parameters for a phase.
        """
        merged: dict[str, Phase] = {}
        for term in self.terms.values():
            for name, phase in _phases(term).items():
                merged[name] = merged[name].merged(phase) if name in merged else phase
        owners = [id(p) for phase in merged.values() for p in phase.parameters]
        if len(owners) != len(set(owners)):
            raise ConfigError("two phases move the same weight", where="objective", found=", ".join(merged))
        return merged

    def entries(self) -> list[Entry]:
        """The minimised losses in the order of a step: phase after phase, term after term."""
        found = []
        for phase in self.phases():
            for name, term in self.terms.items():
                if phase in _phases(term):
                    several = hasattr(term, "phases")
                    parts = getattr(term, "PARTS", ())
                    parts = parts[phase] if isinstance(parts, dict) else parts
                    found.append(Entry(name, phase, f"{name}/{phase}" if several else name, tuple(parts)))
        return found

    def after_step(self, step: int, steps: int) -> None:
        """Updates without gradient, such as an EMA teacher."""
        for term in self.terms.values():
            if hasattr(term, "after_step"):
                term.after_step(step, steps)  # type: ignore[operator]


def _phases(term: nn.Module) -> dict[str, Phase]:
    named = getattr(term, "phases", None)
    if named is not None:
        phases: dict[str, Phase] = named()
        return phases
    return {MAIN: Phase(tuple(p for p in term.parameters() if p.requires_grad))}


@contextmanager
def only_phase(phase: Phase, phases: dict[str, Phase]) -> Iterator[None]:
    """Within, only the parameters of `phase` require a gradient."""
    others = [p for other in phases.values() if other is not phase for p in other.parameters]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
