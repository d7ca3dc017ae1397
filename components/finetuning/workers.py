"""The runs of a study side by side: one process a core, one thread each.

Small models gain more from running next to each other than from sharing each product among threads,
which wait for one another at every operation; and a busy neighbour then delays one run, not all.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

from components.lib.core import hardware
from components.lib.core.errors import InternalError, WorkerLost

T = TypeVar("T")
Each = Callable[[Callable[[Any, Any], Any], Iterable[Any]], Iterator[Any]]

FEW = 2  # runs a core that do not repay the start of processes, which each import torch

_make: Any = None  # in a worker process: what `make()` returned


@contextmanager
def side_by_side(make: Callable[[], Any], most: int) -> Iterator[Each]:
    """A function that gives work(make(), run) for each run, in their order; `make` is called once a process.

    Few runs, or runs on a GPU that they would only share, follow each other in this process.

    Args:
        make: what a process needs for all of its runs.
        most: how many runs there will be, over all calls.

    Raises:
        InternalError: if a process dies, which is mostly for want of memory.
    """
    here = hardware.cores()
    if torch.cuda.is_available() or here == 1 or most <= FEW * here:
        made = make()
        yield lambda work, runs: (work(made, run) for run in runs)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(most, here), mp_context=spawn, initializer=_start, initargs=(make,)) as pool:
        try:
            yield partial(_each, pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():  # the pool waits for the runs that they are at
                process.terminate()
            raise


def _each(pool: ProcessPoolExecutor, work: Callable[[Any, T], Any], runs: Iterable[T]) -> Iterator[Any]:
    futures = [pool.submit(_work, work, run) for run in runs]
    try:
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        said, fix = hardware.out_of_memory(), "lower batch or max_length, or raise the memory of the stage"
        what, found = "a process of the study died", said or str(error)
        if said:
            raise WorkerLost(what, found=said, fix=fix) from error
        fix = f"look for the kernel's out-of-memory killer; {fix}"
        raise InternalError(what, found=found, fix=fix) from error


def _start(make: Callable[[], Any]) -> None:
    global _make
    torch.set_num_threads(1)
    _make = make()


def _work(work: Callable[[Any, T], Any], run: T) -> Any:
    return work(_make, run)
