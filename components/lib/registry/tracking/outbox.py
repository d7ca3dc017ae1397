"""What is on its way to MLflow: training puts, one thread sends, an outage waits, a crash loses nothing.

Items wait in memory, about 0.3 KB each, and in a write-ahead log on the local disk, from which the next
process of the same work takes what the last one could not send. So an item may be sent twice, and whoever
sends has to leave out what has arrived.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import IO, Literal, NamedTuple

from components.lib.core.errors import InternalError, TrunklineError

BATCH = 1_000  # MLflow's limit for one log_batch
INTERVAL = 1.0  # seconds between batches
BACKOFF = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds after the first, second, ... failure in a row


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
        log: the write-ahead log; what it holds is sent first. None: a crash loses what waits.

    Attributes:
        refused: items that the server will never take (not retriable), left out so that the others go on.
        error: the last failure, None while all is well.
    """

    def __init__(self, send: Callable[[list[Item]], None], log: Path | None = None) -> None:
        self.refused: list[Item] = []
        self.error: TrunklineError | None = None
        self._send = send
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._log = Log(log) if log else None
        self._items.extend(self._log.items() if self._log else ())

    def put(self, items: Iterable[Item]) -> None:
        """Queues items; costs microseconds."""
        items = list(items)
        with self._changed:
            self._items.extend(items)
            if self._log:
                self._log.add(items)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
                self._thread.start()
            if len(self._items) >= BATCH:
                self._changed.notify_all()

    def take(self) -> list[Item]:
        """The oldest items, which stay queued until `drop`."""
        with self._changed:
            return list(islice(self._items, BATCH))

    def drop(self, count: int) -> None:
        """Forgets the oldest `count` items."""
        with self._changed:
            for _ in range(count):
                self._items.popleft()
            if self._log and not self._items:
                self._log.clear()
            self._changed.notify_all()

    def close(self, timeout: float) -> list[Item]:
        """Sends the rest, as long as no `timeout` seconds pass without progress.

        Returns:
            What did not get through, refused items included.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        waiting, end = len(self._items), time.monotonic() + timeout
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < end:
            self._thread.join(0.1)
            if len(self._items) < waiting:
                waiting, end = len(self._items), time.monotonic() + timeout
        with self._changed:
            left = [*self.refused, *self._items]
            if self._log:
                self._log.close(empty=not self._items)
            self._items.clear()
        return left

    def _run(self) -> None:
        while self._wait():
            batch = self.take()
            if not batch:
                continue
            try:
                self._deliver(batch)
            except Exception as raised:
                self._failed(raised)
            else:
                self.error, self._failures = None, 0
                self._forget(batch)

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

    def _wait(self) -> bool:
        """Until the next batch is due; False when there is nothing more to do."""
        pause = BACKOFF[min(self._failures, len(BACKOFF)) - 1] if self._failures else INTERVAL
        end = time.monotonic() + pause
        with self._changed:
            while not self._closing and (left := end - time.monotonic()) > 0:
                if not self._failures and len(self._items) >= BATCH:
                    break
                self._changed.wait(left)
            if self._closing and self._failures:
                self._changed.wait(0.2)  # the last tries follow each other quickly
            return bool(self._items) or not self._closing

    def _failed(self, raised: Exception) -> None:
        error = raised if isinstance(raised, TrunklineError) else InternalError(f"{raised!r}")
        if self.error is None:
            print(f"tracking: {error.what} ({error.found}); the work goes on", flush=True)
        self.error, self._failures = error, self._failures + 1

    def _forget(self, batch: list[Item]) -> None:
        with self._changed:
            if self._items:  # close() gave up on us and took them
                self.drop(len(batch))


class Log:
    """Items in a file, one JSON array a line, until all have arrived.

    A line is handed to the system before `add` returns: the death of this process does not lose it. A log
    that cannot be written is given up with a word, as the work is worth more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def items(self) -> list[Item]:
        """What a process before this one left; a line that it died in is left out."""
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            with contextlib.suppress(ValueError, TypeError):
                found.append(Item(*json.loads(line)))
        return found

    def add(self, items: list[Item]) -> None:
        """Appends items."""
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write("".join(json.dumps(item) + "\n" for item in items))
            self._file.flush()
        except (OSError, ValueError) as error:  # ValueError: it was given up before
            self._give_up(error)

    def clear(self) -> None:
        """Forgets everything."""
        if self._file is not None and not self._file.closed:
            self._file.truncate(0)

    def close(self, empty: bool) -> None:
        """Ends the log; an empty one leaves no file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        if empty:
            self._path.unlink(missing_ok=True)

    def _give_up(self, error: Exception) -> None:
        if self._file is None or not self._file.closed:
            print(
                f"tracking: {self._path} cannot be written ({error}); a crash would lose metrics", flush=True
            )
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
