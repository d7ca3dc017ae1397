"""One thread for torch, BLAS and OpenMP: sums have one order, and small products do not wait for threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits every library, also where a block imports scikit-learn only later."""
    import sklearn.decomposition  # noqa: F401  # its and scipy's threads: what is loaded later is not limited

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
