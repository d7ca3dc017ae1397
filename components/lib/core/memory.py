"""A ceiling for what a decoder may allocate, so that a bomb is an error and not the end of the process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

STATUS = "/proc/self/statm"


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Inside, this process gets so many bytes more than it has; further ones raise MemoryError.

    It holds for all threads. Where the system is not Linux there is no ceiling.
    """
    if not os.path.exists(STATUS):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    ceiling = _held() + more
    within = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([ceiling, *within]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held() -> int:
    """Bytes of data, and of the stack, that the process has mapped, used or not."""
    with open(STATUS, "rb") as file:
        return int(file.read().split()[5]) * resource.getpagesize()
