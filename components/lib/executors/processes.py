"""Processes of one machine: steps one after the other, each on all cores that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from components.lib.core.hardware import cores
from components.lib.executors import Step

REQUIRES = ()


class Executor:
    """Runs steps in this process, which starts others as it needs them."""

    def __init__(self, address: str, workers: int) -> None:
        self.threads = workers or cores()

    def map(self, make: Callable[[], Step], items: Iterable[Any]) -> Iterator[Any]:
        step = make()
        try:
            for item in items:
                yield from step(item)
        finally:
            step.close()

    def close(self) -> None:
        pass
