"""Cleaning pool: sandboxed processes that clean batches in order; one that dies names the payload of it."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import cast

from components.ingestion.config import Config
from components.ingestion.record_reader import Batch
from components.ingestion.sandbox import Child, Lost
from components.lib import modalities
from components.lib.core.errors import ServiceError
from components.lib.modalities import Cleaned


class Culprits(dict[int, str]):
    """Place in a batch -> how the process ended that had to clean it."""


def work(config: Config, evaluations: Sequence[Path]) -> Callable[[bytes], Iterator[Cleaned]]:
    """What a process does with pickled payloads; `evaluations` are local folders of indexes."""
    cleaner = modalities.load(config.modality, "ingestion").cleaner(config.own, evaluations)
    return lambda batch: iter([cleaner(pickle.loads(batch))])


class CleaningPool:
    """Cleans batches in their order, a bounded number of them at a time.

    With fewer than two workers this process cleans itself, if nothing is decoded. Else a thread waits for
    each of the processes, so that the one that reads a batch is known, if it dies of it.
    """

    def __init__(self, config: Config, evaluations: Sequence[Path], workers: int) -> None:
        make = partial(work, config, evaluations)
        alone = workers < 2 and not modalities.load(config.modality, "ingestion").NATIVE
        self._config, self._work = config, make() if alone else None
        self._children = [] if alone else [Child(make, config.memory) for _ in range(max(workers, 1))]
        self._pool = ThreadPoolExecutor(max(len(self._children), 1))
        self._idle: SimpleQueue[Child] = SimpleQueue()
        for child in self._children:
            self._idle.put(child)

    def clean(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Cleaned | Culprits]]:
        """Each batch, cleaned; or which of its payloads no process outlives.

        Raises:
            ServiceError: if a process is lost over no payload in particular.
        """
        waiting: deque[tuple[Batch, Future[Cleaned | Culprits]]] = deque()
        for batch in batches:
            if not self._children:
                yield batch, self._cleaned(batch)
                continue
            waiting.append((batch, self._pool.submit(self._cleaned, batch)))
            while len(waiting) >= 2 * len(self._children):
                batch, future = waiting.popleft()
                yield batch, future.result()
        for batch, future in waiting:
            yield batch, future.result()

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        for child in self._children:
            child.stop()
        self._pool.shutdown(cancel_futures=True)
        for child in self._children:
            child.close()

    def _cleaned(self, batch: Batch) -> Cleaned | Culprits:
        if not batch.places:
            return Cleaned()
        if self._work is not None:
            return next(self._work(batch.payloads))
        child = self._idle.get()
        try:
            return self._asked(child, batch.payloads)
        except Lost:
            return self._culprits(child, batch) or self._again(child, batch)
        finally:
            self._idle.put(child)

    def _culprits(self, child: Child, batch: Batch) -> Culprits:
        """Payloads that a process is lost over though it has nothing else to do."""
        found = Culprits()
        for index, payload in enumerate(pickle.loads(batch.payloads)):
            try:
                self._asked(child, pickle.dumps([payload]))
            except Lost as lost:
                found[index] = lost.reason
        return found

    def _again(self, child: Child, batch: Batch) -> Cleaned:
        """What was in the way may have passed by: another program that needed the memory."""
        try:
            return self._asked(child, batch.payloads)
        except Lost as lost:
            fix = "give ingestion more memory or fewer workers"
            where = f"{batch.places[0][1]} to {batch.places[-1][1]}"
            raise ServiceError("cleaning fails", where=where, found=lost.reason, fix=fix) from lost

    def _asked(self, child: Child, payloads: bytes) -> Cleaned:
        (cleaned,) = child.ask(payloads, self._config.patience(len(payloads)))
        return cast(Cleaned, cleaned)
