"""How a task calls a network: the arguments of its passes, as tensors that have names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """One pass.

    Attributes:
        given: by position, then by name, as a caller gave them.
        answer: as the network gave it.
    """

    places: tuple[Any, ...]
    given: dict[str, Any]
    answer: Any

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Arguments by their name, or as `place_0` and so on."""
        placed = {f"place_{at}": value for at, value in enumerate(self.places)}
        return {name: value for name, value in {**placed, **self.given}.items() if value is not None}

    @property
    def simple(self) -> bool:
        """Whether tensors go in and come out, and nothing else."""
        inside = all(isinstance(value, Tensor) for value in self.tensors.values())
        return inside and bool(self.tensors) and bool(named(self.answer))


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[Call]]:
    """The passes of a model while it lasts; those of its parts alone do not count."""
    calls: list[Call] = []
    hook = model.register_forward_hook(
        lambda _, places, given, answer: calls.append(Call(places, given, answer)), with_kwargs=True
    )
    try:
        yield calls
    finally:
        hook.remove()


def named(answer: Any) -> dict[str, Tensor]:
    """The tensors of an answer by their names: of a tensor "", of a tuple their places."""
    if isinstance(answer, Tensor):
        return {"": answer}
    if isinstance(answer, SimpleNamespace):
        found = vars(answer)
    else:
        pairs = answer if isinstance(answer, Mapping) else dict(enumerate(answer))
        found = {str(name): value for name, value in pairs.items()}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def structured(tensors: dict[str, Tensor]) -> Any:
    """The answer that `named` made of these tensors; one with names has them as attributes."""
    if "" in tensors:
        return tensors[""]
    if all(name.isdecimal() for name in tensors):
        return tuple(tensors.values())
    return SimpleNamespace(**tensors)
