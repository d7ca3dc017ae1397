"""Follows an alias: a version it moves to is loaded beside the one that serves, and asked before it serves.

What cannot be loaded, or answers otherwise than evaluation was answered, stays out: the alias goes back to
the version that stands here, under the lease of its model, if it still points to the one that fell.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from components.lib.core.errors import DataError, MissingError, TrunklineError, WorkerLost
from components.lib.registry import examples
from components.lib.registry.model_server.batching import Batcher, Served
from components.lib.registry.model_server.worker import NotLoaded, Worker
from components.lib.registry.registered_models import CHAMPION, PREVIOUS, Registered, Registry
from components.lib.registry.rollback import withdraw
from components.lib.storage.store import Store

VARIABLE = "TRUNKLINE_FOLLOW_SECONDS"
SECONDS = 60.0  # between two looks at MLflow, at least; a test says less
TRIES = 2  # times that a version may fail to be loaded: once may be the fault of this place


class Refusal(Exception):
    """A version does not stand; the message says why, for people."""


class Follower:
    """Keeps `batcher` at the version that `alias` of the model `name` points to.

    Args:
        store: of the lease; "": that which the version names.
        scratch: a folder for the files of versions.
        refused: is called when a version stays out.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        alias: str,
        batcher: Batcher,
        *,
        store: str,
        scratch: Path,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.registry, self.name, self.alias, self.batcher = registry, name, alias, batcher
        self.store, self.scratch, self.count = store, scratch, refused
        self.current: Registered | None = None
        self.fallen: dict[str, str] = {}  # version -> why it stays out, as long as the alias points to it
        self._tries: dict[str, int] = {}
        self._told = ""

    async def run(self) -> None:
        """Looks again and again, for ever; nothing that goes wrong ends it."""
        while True:
            try:
                await self.look()
            except TrunklineError as error:  # MLflow or the store is away: what serves goes on
                self._tell(f"{error.what} ({error.found}); {self._goes_on()}")
            except Exception as error:
                self._tell(f"the look at the alias failed: {error!r}; {self._goes_on()}")
            await asyncio.sleep(seconds() * random.uniform(1.0, 1.2))  # replicas do not ask in step

    async def look(self) -> None:
        """One look, and the roll-out that follows from it."""
        found = await asyncio.to_thread(self.registry.find, self.name, self.alias)
        if found is None:
            self._tell(f"{self.name} has no alias {self.alias}; {self._goes_on()}")
            return
        self.fallen = {one: why for one, why in self.fallen.items() if one == found.version}
        if self.current is not None and found.version == self.current.version:
            self._told = ""
            return
        if found.version not in self.fallen:
            try:
                return await self._rolled_out(found)
            except Refusal as error:
                self.fallen[found.version] = str(error)
                self.count()
                self._tell(f"{self.name} version {found.version} stays out: {error}")
        await self._gone_back(found)

    async def _rolled_out(self, version: Registered) -> None:
        """Raises Refusal if the version does not stand."""
        folder = self.scratch / f"version-{version.version}"
        worker = None
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            model = await asyncio.to_thread(self.registry.download, version, folder)
            worker = await asyncio.to_thread(Worker, model, self.batcher.limits)
            await asyncio.to_thread(worker.load)
        except BaseException as error:
            if worker is not None:
                await asyncio.to_thread(worker.end)
            shutil.rmtree(folder, ignore_errors=True)
            self._judge(version, error)
            raise
        await self._given(version, worker)

    async def _given(self, version: Registered, worker: Worker) -> None:
        evaluated = examples.read(worker.folder) is not None
        before = await self.batcher.serve(
            Served(self.name, version.version, version.reference, evaluated, worker)
        )
        self.current, self._told = version, ""
        self._tries.clear()
        asked = "answers what was evaluated" if evaluated else "has no stored examples: it was only loaded"
        print(f"serving: {self.name} version {version.version} takes the traffic: it {asked}", flush=True)
        if before is not None:
            await asyncio.to_thread(before.worker.end)
            shutil.rmtree(self.scratch / f"version-{before.version}", ignore_errors=True)

    def _judge(self, version: Registered, error: BaseException) -> None:
        """Raises Refusal for what no second try mends; a service that is away passes."""
        if isinstance(error, WorkerLost | NotLoaded):
            self._tries[version.version] = self._tries.get(version.version, 0) + 1
            if self._tries[version.version] < TRIES:
                return
            error.what = f"{error.what}, {TRIES} times"
        elif not isinstance(error, DataError | MissingError):
            return
        raise Refusal(f"{error.what}: {error.found}") from error

    async def _gone_back(self, fallen: Registered) -> None:
        """The alias goes back to what stands here; a server that has nothing tries `previous` first."""
        if self.current is None and self.alias == CHAMPION:
            before = await asyncio.to_thread(self.registry.find, self.name, PREVIOUS)
            if before is not None and before.version != fallen.version:
                try:
                    await self._rolled_out(before)
                except Refusal as error:  # then it may be this machine: nothing is moved
                    self._tell(f"nor does version {before.version}, which was the champion before: {error}")
        if self.current is None:  # all is tried again at the next look
            self.fallen.clear()
            return
        place = self.store or fallen.tags.get("trunkline.store", "")
        owner = f"server-{socket.gethostname()}-{os.getpid()}"
        why, to = self.fallen[fallen.version], {self.alias: self.current}
        arguments = (self.registry, Store(place).objects, fallen, to, why, owner)
        if await asyncio.to_thread(withdraw, *arguments):
            self._tell(
                f"the alias {self.alias} of {self.name} goes back from version {fallen.version} to "
                f"version {self.current.version}: {why}"
            )

    def _goes_on(self) -> str:
        return f"version {self.current.version} goes on" if self.current else "nothing is served yet"

    def _tell(self, line: str) -> None:
        """Each line once, until another comes."""
        if line != self._told:
            print(f"serving: {line}", flush=True)
        self._told = line


def seconds() -> float:
    """Seconds between two looks: SECONDS, or what a test says."""
    return float(os.environ.get(VARIABLE) or SECONDS)
