"""The processes of a local run: a request to stop reaches the stage that works."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def passing_on_sigterm() -> Iterator[list[int]]:
    """Passes SIGTERM on to all processes below this one, so that a training saves its state and ends.

    KFP then sees a stage that failed, and the graph ends as it always does, with its exit record.

    Yields:
        A list that holds the signals that came.
    """
    came: list[int] = []

    def pass_on(number: int, _: object) -> None:
        came.append(number)
        for process in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


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
