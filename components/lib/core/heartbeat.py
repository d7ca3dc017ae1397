"""How the processes of one machine tell the one that watches them that they live, and why they died.

`TRUNKLINE_HEARTBEAT` names a folder on this machine. Without it, as in a test, nothing is written.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from components.lib.core.errors import TrunklineError, revived

VARIABLE = "TRUNKLINE_HEARTBEAT"
INTERVAL = 0.25  # seconds between two beats of a process, at least

_last = 0.0


@dataclass(frozen=True)
class Pulse:
    """The newest beat of any process whose work is not done.

    Attributes:
        step: how far training has come.
        age: seconds since then. The clock is the machine's monotonic one, so that no jump of time matters.
    """

    step: int
    age: float


def beat(step: int) -> None:
    """Says that this process has finished `step` steps; cheap enough for every step."""
    global _last
    now = time.monotonic()
    if now - _last < INTERVAL:
        return
    _last = now
    folder = os.environ.get(VARIABLE)
    if folder:
        _write(Path(folder, f"{_rank()}.beat"), [step, now])


def finish() -> None:
    """Says that the work of this process is done: how long it takes to end is nobody's concern."""
    folder = os.environ.get(VARIABLE)
    if folder:
        Path(folder, f"{_rank()}.beat").unlink(missing_ok=True)


def last_words(error: TrunklineError) -> None:
    """Leaves the error by which this process ends."""
    folder = os.environ.get(VARIABLE)
    if folder:
        _write(Path(folder, f"{_rank()}.error"), [time.monotonic(), error.to_dict()])


def pulse(folder: Path) -> Pulse | None:
    """The newest beat in `folder`, None before the first."""
    beats = [json.loads(path.read_text()) for path in folder.glob("*.beat")]
    if not beats:
        return None
    return Pulse(max(step for step, _ in beats), time.monotonic() - max(when for _, when in beats))


def errors(folder: Path) -> list[TrunklineError]:
    """The errors of the processes that could still say one, the earliest first."""
    found = sorted(json.loads(path.read_text()) for path in folder.glob("*.error"))
    return [revived(error) for _, error in found]


def _rank() -> str:
    return os.environ.get("RANK", "0")


def _write(path: Path, value: object) -> None:
    """Whole or not at all: the watcher reads at any moment."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
