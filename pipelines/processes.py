"""Signals of a local run: a request to stop reaches the process of the stage that works."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import psutil

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def passing_on() -> Iterator[list[int]]:
    """Passes a request to stop on to all processes below, so that a training saves its state and ends.

    KFP then sees a stage that failed, and the graph ends as it always does, with its exit record. Who presses
    Ctrl-C again does not wait for that: the processes are killed.

    Yields:
        A list that holds the signals that came.

    Raises:
        KeyboardInterrupt: if nothing runs that could end by itself, or at the second request of a keyboard.
    """
    came: list[int] = []

    def pass_on(number: int, _: object) -> None:
        impatient = number == signal.SIGINT and signal.SIGINT in came
        came.append(number)
        below = psutil.Process().children(recursive=True)
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL if impatient else signal.SIGTERM)
        if impatient or not below:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, former in before.items():
            signal.signal(number, former)
