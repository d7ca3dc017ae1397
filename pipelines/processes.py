"""The processes of a local run: a request to stop reaches the stage that works."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

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
        below = descendants(os.getpid())
        for process in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if impatient else signal.SIGTERM)
        if impatient or not below:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield came
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def descendants(root: int) -> list[int]:
    """Children, their children and so on, from what Linux says in /proc; empty elsewhere."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (command) state parent ...: the command may hold spaces and parentheses
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for process in found:
        found.extend(children.get(process, []))
    return found[1:]
