"""Fault injection: named failpoints that tests arm through files; no-ops otherwise.

`TRUNKLINE_FAILPOINTS` names a folder. The file `<folder>/<name>` arms the failpoint of that name with one
line, `ACTION [at=N] [rank=R]`: the Nth time (1, if left out) that a process (of rank R, if given) reaches it,
the fault strikes. It strikes once: the file becomes `<name>.fired`, which also proves that it did.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

from components.lib.core.errors import ServiceError

VARIABLE = "TRUNKLINE_FAILPOINTS"
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "terminate": signal.SIGTERM}

_reached: Counter[str] = Counter()


def reach(name: str) -> bool:
    """The failpoint `name`: without a folder in the environment, a no-op.

    Returns:
        Whether the caller is to corrupt its value: the failpoint is armed with `poison`.

    Raises:
        ServiceError: if it is armed with `fail`; `kill`, `stop` and `terminate` signal this process.
    """
    folder = os.environ.get(VARIABLE)
    return _strike(Path(folder, name)) if folder else False


def _strike(armed: Path) -> bool:
    try:
        action, *conditions = armed.read_text().split()
    except FileNotFoundError:
        return False
    wanted = dict(condition.split("=") for condition in conditions)
    _reached[armed.name] += 1
    if _reached[armed.name] < int(wanted.get("at", 1)):
        return False
    if wanted.get("rank", os.environ.get("RANK", "0")) != os.environ.get("RANK", "0"):
        return False
    try:
        armed.rename(armed.with_name(f"{armed.name}.fired"))
    except FileNotFoundError:  # another process was first
        return False
    if action in SIGNALS:
        os.kill(os.getpid(), SIGNALS[action])
    elif action != "poison":
        raise ServiceError("a fault was asked for", where=armed.name)
    return action == "poison"
