"""Places where a fault can be made to strike: a test arms them, and nothing else does.

`TRUNKLINE_FAILPOINTS` names a folder. The file `<folder>/<name>` arms the failpoint of that name with one
line, `ACTION [at=N] [rank=R]`: the Nth time (1, if left out) that a process (of rank R, if given) reaches it,
the fault strikes. It strikes once: the file becomes `<name>.fired`, which also proves that it did.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from components.lib.errors import ServiceError

VARIABLE = "TRUNKLINE_FAILPOINTS"
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "terminate": signal.SIGTERM}

_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Says that this process has come to the place `name`: without a folder in the environment, a no-op.

    Raises:
        ServiceError: if the place is armed with `fail`; `kill`, `stop` and `terminate` signal this process.
    """
    folder = os.environ.get(VARIABLE)
    if folder:
        _strike(Path(folder, name))


def _strike(armed: Path) -> None:
    try:
        action, *conditions = armed.read_text().split()
    except FileNotFoundError:
        return
    wanted = dict(condition.split("=") for condition in conditions)
    _reached[armed.name] += 1
    if _reached[armed.name] < int(wanted.get("at", 1)):
        return
    if wanted.get("rank", os.environ.get("RANK", "0")) != os.environ.get("RANK", "0"):
        return
    try:
        armed.rename(armed.with_name(f"{armed.name}.fired"))
    except FileNotFoundError:  # another process was first
        return
    if action in SIGNALS:
        os.kill(os.getpid(), SIGNALS[action])
    else:
        raise ServiceError("a fault was asked for", where=armed.name)
