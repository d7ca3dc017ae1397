"""Graceful shutdown: handlers of SIGTERM (from a cluster) and SIGINT (from a keyboard)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from components.lib.core.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


_received: list[int] = []  # since the stage began


def received() -> bool:
    """Whether the stage was told to stop since it began; what else interrupts it is another matter."""
    return bool(_received)


@contextmanager
def noted() -> Iterator[list[int]]:
    """Deferred shutdown, for work that saves its state first: a list of the signals received so far.

    Outside the main thread, signals cannot be caught: there it stays empty.
    """
    came: list[int] = []
    with _handled(lambda number, _: came.append(number)):
        yield came


@contextmanager
def obeyed() -> Iterator[None]:
    """Immediate shutdown, for work without state to save: the first signal raises Interrupted, once."""
    _received.clear()

    def obey(number: int, _: FrameType | None) -> None:
        for each in SIGNALS:  # a keyboard and the process above may both ask; cleaning up is not interrupted
            signal.signal(each, signal.SIG_IGN)
        found = signal.Signals(number).name
        raise Interrupted("the stage was told to stop", found=found, fix="run again to go on")

    with _handled(obey):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def receive(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        handler(number, frame)

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
