"""Lease: who does a piece of work, renewed while that process lives; distributed lock by conditional writes.

    <prefix>/lease.<generation>.json     who holds it, when it was renewed

The newest generation holds. Taking over is writing the next one by a conditional put, of which one succeeds;
renewing overwrites one's own, after a look for a newer one. A lease says who works, so that nobody does so in
vain: what must not happen twice is guarded by a conditional put of its own (manifests, checkpoints).

Clocks may differ: a lease that looks old is taken only if it is not renewed while the taker looks on. That of
a process of this very machine is taken at once when there is no such process any more.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core.errors import MissingError, TrunklineError
from components.lib.storage.objects import Objects

VARIABLE = "TRUNKLINE_LEASE_SECONDS"
SECONDS = 30.0  # between two renewals
DEAD = 4.0  # renewals that a live holder may miss: a store that hung, a machine that swapped
POLLS = 6  # looks of one who waits, between two renewals
NAME, WAITING = "lease.{:06d}.json", "waiting."


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: `renewed` is 0 once it was given back."""

    generation: int
    owner: str
    renewed: float
    token: str
    machine: str = ""
    process: int = 0

    @property
    def gone(self) -> bool:
        """Whether it was given back, or its process was one of this machine and is not there any more."""
        if not self.renewed:
            return True
        if self.machine != machine() or self.process == os.getpid():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    @property
    def age(self) -> float:
        """Seconds since it was renewed."""
        return max(0.0, time.time() - self.renewed)


class Lease:
    """The lease of one piece of work.

    Args:
        prefix: of its objects, such as launches/<key>.
        owner: of whoever takes it here, such as the id of a pipeline run; the same owner takes it again at
            once, for the process before it has died.
    """

    def __init__(self, objects: Objects, prefix: str, owner: str = "") -> None:
        self.objects, self.prefix, self.owner = objects, prefix, owner
        self.generation = 0
        self._token = uuid.uuid4().hex
        self._suspect: tuple[str, float, float] | None = None

    def holder(self) -> Holder | None:
        """Who holds it or held it last; None if nobody ever did."""
        for key in sorted(self._keys(), reverse=True):
            try:
                value: dict[str, Any] = json.loads(self.objects.read(key))
                return Holder(_generation(key), **value)
            except MissingError:  # given up for a newer one meanwhile
                return self.holder()
            except (ValueError, TypeError):  # damaged: nobody's
                return Holder(_generation(key), "", 0.0, "")
        return None

    def alive(self, minutes: float) -> bool:
        """Whether somebody renewed it in the last `minutes`."""
        found = self.holder()
        return found is not None and not found.gone and found.age < minutes * 60

    def take(self) -> bool:
        """Takes it, unless another owner's is alive; asked again and again, it finds out that one is dead."""
        found = self.holder()
        if found is not None and found.owner != self.owner and not self._dead(found):
            return False
        mine = (found.generation if found else 0) + 1
        if not self.objects.write(self._key(mine), self._text(time.time()), if_absent=True):
            return False
        self.generation = mine
        for key in self._keys():
            if _generation(key) < mine:
                self.objects.delete(key)
        return True

    def renew(self) -> bool:
        """Says that the holder lives; False if the lease is another's by now."""
        if not self.generation or max(map(_generation, self._keys()), default=0) > self.generation:
            return False
        self.objects.write(self._key(self.generation), self._text(time.time()))
        return True

    def release(self) -> None:
        """Gives it back, if it is ours."""
        found = self.holder()
        if found is not None and found.generation == self.generation and found.token == self._token:
            self.objects.write(self._key(self.generation), self._text(0.0))

    def remove(self) -> None:
        """Deletes it, once the work is done and nobody will do it again."""
        for key in self._keys():
            self.objects.delete(key)

    def end(self) -> None:
        """Gives back what a process of the same owner held that was killed."""
        found = self.holder()
        if found is not None and found.owner == self.owner and found.renewed:
            self.generation = found.generation
            self.objects.write(self._key(found.generation), self._text(0.0))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renews it from a thread while the block runs, then gives it back."""
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def wait(self, done: Callable[[], bool], tell: Callable[[str], None]) -> bool:
        """Waits until the lease is ours, or `done`, which is asked between; False: it is done.

        Args:
            tell: gets one line a holder, so that a person sees what is waited for.
        """
        told, mark = "", f"{self.prefix}/{WAITING}{self.owner}.json"
        try:
            while not self.take():
                if done():
                    return False
                if (found := self.holder()) is not None:
                    self.objects.write(mark, self._text(time.time()))
                    if found.owner != told:
                        told = found.owner
                        tell(told)
                time.sleep(seconds() / POLLS)
            return True
        finally:
            if told:
                self.objects.delete(mark)

    def wanted(self) -> list[str]:
        """Owners that wait for it and live, besides this one."""
        found = []
        for key in self.objects.keys(f"{self.prefix}/{WAITING}"):
            with suppress(MissingError, ValueError, TypeError):
                one = Holder(0, **json.loads(self.objects.read(key)))
                if one.owner != self.owner and not one.gone and one.age < DEAD * seconds():
                    found.append(one.owner)
        return found

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(seconds()):
            try:
                if not self.renew():
                    return
            except TrunklineError as error:  # the store is away: the next time, perhaps
                print(f"the lease {self.prefix} is not renewed: {error.what}", flush=True)

    def _dead(self, found: Holder) -> bool:
        """Given back, or old and not renewed between two looks that are further apart than two renewals."""
        if found.gone:
            return True
        seen, now = (found.token, found.renewed), time.monotonic()
        if self._suspect is None or self._suspect[:2] != seen:
            self._suspect = (*seen, now)
        return found.age > DEAD * seconds() and now - self._suspect[2] > 1.5 * seconds()

    def _keys(self) -> list[str]:
        start = f"{self.prefix}/{NAME.partition('{')[0]}"
        return [key for key in self.objects.keys(start) if key.endswith(".json")]

    def _key(self, generation: int) -> str:
        return f"{self.prefix}/{NAME.format(generation)}"

    def _text(self, renewed: float) -> bytes:
        value = {"owner": self.owner, "renewed": round(renewed, 3), "token": self._token}
        return json.dumps({**value, "machine": machine(), "process": os.getpid()}).encode()


def leases(objects: Objects, prefix: str) -> list[str]:
    """The prefixes of all leases below another."""
    start = f"/{NAME.partition('{')[0]}"
    return sorted({key.rpartition("/")[0] for key in objects.keys(prefix) if start in key})


def seconds() -> float:
    """Seconds between two renewals: SECONDS, or what a test says."""
    return float(os.environ.get(VARIABLE) or SECONDS)


@functools.cache
def machine() -> str:
    """This machine since it was started, and the name space of its process ids: a container has its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _generation(key: str) -> int:
    return int(key.rpartition("/")[2].split(".")[1])
