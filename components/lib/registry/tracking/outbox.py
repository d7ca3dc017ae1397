"""Background sender of metrics: `put` only queues, one thread sends batches and sits out outages.

Items wait in memory, about 0.3 KB each. What a process could not send before it died is in the store as well,
in checkpoints and manifests: `Tracker.history` sends it again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Literal, NamedTuple

from tenacity import RetryCallState, RetryError, Retrying, stop_when_event_set, wait_chain, wait_fixed

from components.lib.core.errors import InternalError, TrunklineError

BATCH = 1_000  # MLflow's limit for one log_batch
INTERVAL = 1.0  # seconds between batches
BACKOFF = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds after the first, second, ... failure in a row
HURRY = 0.2  # seconds between tries while somebody waits


class Item(NamedTuple):
    """A metric point, a parameter or a tag, with the time at which it happened (ms since 1970)."""

    kind: Literal["metric", "param", "tag"]
    name: str
    value: float | str
    timestamp: int = 0
    step: int = 0


class Outbox:
    """Sends items in order from a background thread; `put` never waits for the server.

    Args:
        send: delivers a batch or raises.

    Attributes:
        refused: items that the server will never take (not retriable), left out so that the others go on.
        error: the last failure, None while all is well.
    """

    def __init__(self, send: Callable[[list[Item]], None]) -> None:
        self.refused: list[Item] = []
        self.error: TrunklineError | None = None
        self._send = send
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._hurry = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, items: Iterable[Item]) -> None:
        """Queues items; costs microseconds."""
        with self._changed:
            waiting = bool(self._items)
            self._items.extend(items)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
                self._thread.start()
            if not waiting or len(self._items) >= BATCH:
                self._changed.notify_all()

    def drain(self, timeout: float) -> int:
        """Sends what is queued, as long as no `timeout` seconds pass without progress.

        Returns:
            How many items are left, besides those that were refused.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            while self._items and self._changed.wait(timeout):  # the sender tells of each batch
                pass
            self._hurry = False
            return len(self._items)

    def close(self, timeout: float) -> int:
        """Drains and ends; what is left is given up. Returns how many items that are."""
        left = self.drain(timeout)
        with self._changed:
            self._closed.set()
            self._hurry = True
            self._items.clear()
            self._changed.notify_all()
        return left

    def _run(self) -> None:
        retrying = Retrying(
            wait=wait_chain(*map(wait_fixed, BACKOFF)),
            stop=stop_when_event_set(self._closed),
            sleep=self._pause,
            after=self._failed,
        )
        while batch := self._next():
            try:
                retrying(self._deliver, batch)
            except RetryError:  # closed
                return
            with self._changed:
                self.error = None
                for _ in batch if self._items else ():  # close() may have given up on us
                    self._items.popleft()
                self._changed.notify_all()

    def _next(self) -> list[Item]:
        """The next batch when it is due; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed.is_set())
            self._changed.wait_for(lambda: self._hurry or len(self._items) >= BATCH, INTERVAL)
            return list(islice(self._items, BATCH))

    def _deliver(self, batch: list[Item]) -> None:
        """Sends a batch; what the server will never take is found by halving and set aside."""
        try:
            self._send(batch)
        except TrunklineError as error:
            if error.retriable:
                raise
            if len(batch) == 1:
                self.refused.extend(batch)
                print(f"tracking: {batch[0].name} is left out: {error.what} ({error.found})", flush=True)
                return
            middle = len(batch) // 2
            self._deliver(batch[:middle])
            self._deliver(batch[middle:])

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self._hurry, seconds):
                self._changed.wait(HURRY)

    def _failed(self, state: RetryCallState) -> None:
        raised = state.outcome.exception() if state.outcome else None
        error = raised if isinstance(raised, TrunklineError) else InternalError(f"{raised!r}")
        if self.error is None:
            print(f"tracking: {error.what} ({error.found}); the work goes on", flush=True)
        self.error = error
