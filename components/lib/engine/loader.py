"""Batch prefetching in one thread: gathering token rows needs no worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(make: Callable[[int], T], start: int, stop: int, ahead: int = 3) -> Generator[T, None, None]:
    """Yields make(start), ..., make(stop - 1), each made up to `ahead` steps early in a thread.

    What `make` raises is raised here, at its own step. The thread ends when the iterator is closed.
    """
    pool = ThreadPoolExecutor(1, "loader")
    try:
        ready = deque(pool.submit(make, step) for step in range(start, min(start + ahead, stop)))
        for step in range(start + ahead, stop + ahead):
            made = ready.popleft().result()
            if step < stop:
                ready.append(pool.submit(make, step))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
