"""Executors: where the steps of ingestion and tokenization run; a file each, named by the option `engine`.

A step is a pure function of an item: what it makes does not depend on where, when or beside what it runs. So
every executor gives the same results in the same order, and a lost worker costs the steps that it had. A
plugin declares REQUIRES, the packages that it needs besides those of the stage, and

    Executor(address, workers)      where its cluster is, and how many cores are used at once; 0: all
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.core.settings import did_you_mean

IMAGE = "TRUNKLINE_IMAGE"  # set in a container: what is installed in another stage's is not known there
EXTRA = ".venv/bin/pip install -c constraints.txt {} (images: images/plugins.txt), or set {} to processes"


class Step(Protocol):
    """What a process does with items, one after the other."""

    def __call__(self, item: Any, /) -> Iterable[Any]:
        """The results for an item; they and it can be pickled."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class Executor(Protocol):
    """Runs steps.

    Attributes:
        threads: cores that a step may use.
    """

    threads: int

    def map(self, make: Callable[[], Step], items: Iterable[Any]) -> Iterator[Any]:
        """The results for all items, in their order.

        Args:
            make: is called in each process that runs steps, and can be pickled.

        Raises:
            TrunklineError: what a step raises, or ServiceError if it is lost again and again.
        """
        ...

    def close(self) -> None:
        """Ends it; it may be closed again."""
        ...


def check(engine: str, address: str, where: str) -> Iterator[ConfigError]:
    """What is wrong with the settings `engine` and `address`."""
    known = plugins.names(__name__)
    if engine not in known:
        fix = did_you_mean(engine, known)
        yield ConfigError("there is no such engine", where=f"{where}.engine", found=engine, fix=fix)
        return
    if address and engine == "processes":
        fix = f"set {where}.engine to ray, or leave the address out"
        yield ConfigError("processes have no address", where=f"{where}.address", found=address, fix=fix)
    if not os.environ.get(IMAGE):
        yield from _missing(engine, where)


def start(engine: str, address: str, workers: int, where: str) -> Executor:
    """The executor of that name; raises ConfigError if it is unknown or what it needs is not installed."""
    for error in _missing(engine, where):
        raise error
    made: Executor = plugins.load(__name__, engine).Executor(address, workers)
    return made


def _missing(engine: str, where: str) -> Iterator[ConfigError]:
    for package in plugins.declared(__name__, engine).constants["REQUIRES"]:
        if importlib.util.find_spec(package) is None:
            fix = EXTRA.format(package, f"{where}.engine")
            yield ConfigError(f"{package} is not installed", where=f"{where}.engine", found=engine, fix=fix)
