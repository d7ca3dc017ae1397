"""CPU cores and memory that this process may use, and whether the GPUs reserved for it are visible."""

from __future__ import annotations

import os
from pathlib import Path

from components.lib.core.errors import ConfigError

CPUS = "TRUNKLINE_CPUS"  # cores that the cluster's file reserves for the stage
ACCELERATORS = "TRUNKLINE_ACCELERATORS"  # how many: from the cluster's file, or the resources of a TrainJob
QUOTA = Path("/sys/fs/cgroup/cpu.max")
CEILING = Path("/sys/fs/cgroup/memory.max")
EVENTS = Path("/sys/fs/cgroup/memory.events")


def cores() -> int:
    """The least of what is reserved for us, or else our container's quota, and this process's CPU affinity.

    A container sees the cores of its whole node.
    """
    affinity = len(os.sched_getaffinity(0))
    return min(affinity, int(os.environ.get(CPUS) or 0) or _quota() or affinity)


def memory() -> int:
    """Bytes: the least of this machine's memory and of the container's limit."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = CEILING.read_text().strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdecimal() else whole


def out_of_memory() -> str:
    """What the kernel says of processes of this container that it ended for memory; empty: of none."""
    try:
        events = dict(line.split() for line in EVENTS.read_text().splitlines())
    except (OSError, ValueError):  # not Linux, or an older kernel
        return ""
    count = int(events.get("oom_kill", 0))
    ended = f"{count} process{'es' if count > 1 else ''}"
    return f"the kernel ended {ended} at the limit of memory, {memory() / 2**30:.1f} GiB" if count else ""


def check_memory(needed: int, where: str) -> None:
    """Raises ConfigError if there is less memory than so many bytes: the kernel would end us unheard."""
    if needed > memory():
        found, expected = f"{memory() / 1e9:.1f} GB", f"{needed / 1e9:.1f} GB at least"
        fix = "take smaller weights, or a machine or limit with more memory"
        what = "these weights need more memory than there is"
        raise ConfigError(what, where=where, found=found, expected=expected, fix=fix)


def check_accelerators() -> None:
    """Raises ConfigError if fewer GPUs are visible than reserved: the CPU would work at the price of both."""
    reserved = int(os.environ.get(ACCELERATORS) or 0)
    if not reserved:
        return
    import torch

    if torch.cuda.device_count() < reserved:
        raise ConfigError(
            "accelerators that are kept for this work are not seen",
            where="accelerators of the cluster's file, or pretraining.launch.resources",
            found=f"{torch.cuda.device_count()}, by torch {torch.__version__}",
            expected=str(reserved),
            fix="images built without TORCH_INDEX have CUDA; else see the node's driver and device plugin",
        )


def _quota() -> int:
    """Whole cores of the cgroup's quota; 0 where there is no limit."""
    try:
        quota, _, period = QUOTA.read_text().partition(" ")
    except OSError:  # not Linux, or an older kernel
        return 0
    return 0 if quota == "max" else max(1, int(quota) // int(period))
