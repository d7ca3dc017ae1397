"""How many processors this process may use: a container sees those of its whole node."""

from __future__ import annotations

import os
from pathlib import Path

KEPT = "TRUNKLINE_CPUS"  # what the file of the cluster keeps free for the stage
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """What is kept free for us, else the quota of our container, else what this machine lets us use."""
    here = len(os.sched_getaffinity(0))
    return min(here, int(os.environ.get(KEPT) or 0) or _quota() or here)


def _quota() -> int:
    """Whole processors; 0 where there is no limit."""
    try:
        quota, _, period = QUOTA.read_text().partition(" ")
    except OSError:  # not Linux, or an older kernel
        return 0
    return 0 if quota == "max" else max(1, int(quota) // int(period))
