"""Heartbeat files: ranks report liveness and errors to the watchdog of their machine.

`TRUNKLINE_HEARTBEAT` names a folder on this machine. Without it, as in a test, nothing is written.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.lib.core.errors import TrunklineError, revived

VARIABLE = "TRUNKLINE_HEARTBEAT"
INTERVAL = 0.25  # least seconds between two heartbeats of a rank

_last = 0.0


@dataclass(frozen=True)
class Heartbeat:
    """The newest heartbeat of any rank whose work is not done.

    Attributes:
        step: the last step that any rank has finished.
        age: seconds since then, by the machine's monotonic clock: no jump of time matters.
    """

    step: int
    age: float


def beat(step: int) -> None:
    """Reports `step` finished steps of this rank; cheap enough for every step."""
    global _last
    now = time.monotonic()
    if now - _last < INTERVAL:
        return
    _last = now
    folder = os.environ.get(VARIABLE)
    if folder:
        _write(Path(folder, f"{_rank()}.beat"), [step, now])


def finish() -> None:
    """Reports that this rank is done, so that the time it takes to exit does not count as a hang."""
    folder = os.environ.get(VARIABLE)
    if folder:
        Path(folder, f"{_rank()}.beat").unlink(missing_ok=True)


def report_error(error: TrunklineError) -> None:
    """Reports the error by which this rank ends."""
    folder = os.environ.get(VARIABLE)
    if folder:
        _write(Path(folder, f"{_rank()}.error"), [time.monotonic(), error.to_dict()])


def latest(folder: Path) -> Heartbeat | None:
    """The newest heartbeat in `folder`, None before the first."""
    beats = []
    for path in folder.glob("*.beat"):
        with suppress(FileNotFoundError):  # that rank has just finished
            beats.append(json.loads(path.read_text()))
    if not beats:
        return None
    return Heartbeat(max(step for step, _ in beats), time.monotonic() - max(when for _, when in beats))


def errors(folder: Path) -> list[TrunklineError]:
    """The errors that ranks reported, the earliest first."""
    found = sorted(json.loads(path.read_text()) for path in folder.glob("*.error"))
    return [revived(error) for _, error in found]


def _rank() -> str:
    return os.environ.get("RANK", "0")


def _write(path: Path, value: object) -> None:
    """Atomic write: the watchdog reads at any moment."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
