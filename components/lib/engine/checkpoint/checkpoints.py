"""Sharded checkpoints with an atomic commit, saved in the background, never unpickled.

    <prefix>/<step>-<attempt>/shard-<rank>.safetensors   the rows that each rank writes
    <prefix>/<step>-<attempt>/state.json                 step, settings, history; which rows are where
    <prefix>/<step>.<generation>.commit.json             sizes and SHA-256, written last by a conditional put
    <prefix>/<generation>.run.json                       ownership: the newest generation owns the run

The order of data and all randomness are functions of the step, so a checkpoint holds no state of either.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from typing import Any

from torch import Tensor

from components.lib.core.errors import ConfigError, IntegrityError, Interrupted, MissingError
from components.lib.core.failpoints import reach
from components.lib.engine.checkpoint import load
from components.lib.engine.checkpoint.layout import RowsNeeded, all_rows, layout_of
from components.lib.engine.checkpoint.save import Saver, Snapshot
from components.lib.engine.distributed import ALONE, World
from components.lib.storage.objects import Objects

TRIES = 3  # saves in a row that may fail because the store does not answer


class Checkpoints:
    """The checkpoints of one training run, under `prefix` of the store; all ranks call all methods.

    Args:
        identity: what must be equal between the run that saved and the run that resumes.
        keep: how many of the newest stay; the one with the lowest score stays as well.
    """

    def __init__(
        self, objects: Objects, prefix: str, identity: dict[str, Any], keep: int = 2, world: World = ALONE
    ) -> None:
        self.objects, self.prefix, self.identity, self.keep = objects, prefix, identity, keep
        self.world = world
        self.generation = 0
        self._saver = Saver(objects, world)
        self._attempts = 0
        self._failed = 0
        self._damaged: set[str] = set()

    def save(
        self, step: int, tensors: dict[str, Tensor], state: dict[str, Any], score: float | None = None
    ) -> None:
        """Snapshots `tensors`, and commits them with the JSON `state` in the background.

        Raises:
            TrunklineError: if the save before this one failed and training should not go on.
        """
        self._await_save()
        self._attempts += 1
        folder = f"{self.prefix}/{step:09d}-{self.generation:04d}-{self._attempts}"
        layout = layout_of(tensors, self.world)
        index = {n: [t.shape, [(r.rank, r.start, r.stop) for r in t.ranges]] for n, t in layout.items()}
        whole = {"step": step, "identity": self.identity, "tensors": index, **state}
        snapshot = Snapshot(folder, json.dumps(whole), layout, score)
        self._saver.start(snapshot, tensors, lambda record: self._commit(step, record))

    def wait(self, needed: bool = True) -> None:
        """Joins the last save.

        Args:
            needed: whether a resume depends on it.

        Raises:
            TrunklineError: if it is needed and not committed, or if the run belongs to another process now.
        """
        self._await_save(last=needed)

    def load(self, needed: RowsNeeded = all_rows) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint whose files are what was committed, or None if none was ever committed.

        Takes the run over: a process that has it still can commit nothing more.

        Args:
            needed: which rows of a tensor this rank needs.

        Raises:
            IntegrityError: if there are checkpoints and every one is damaged.
            ConfigError: if the checkpoint belongs to other settings or data.
        """
        self._claim()
        listed = json.dumps(self._commits()) if self.world.leads else ""
        commits: list[str] = json.loads(self.world.broadcast(listed))
        for commit in commits:
            found = None
            try:
                found = load.read(self.objects, commit, needed)
            except (IntegrityError, MissingError) as error:
                print(f"checkpoint {commit} is damaged, trying the one before: {error}", file=sys.stderr)
            if not self.world.any(found is None) and found is not None:
                self._check(found[1]["identity"], commit)
                return found
            self._damaged.add(commit)
        if commits:
            fix = f"delete {self.objects.uri}/{self.prefix} to train from the start"
            raise IntegrityError("every checkpoint is damaged", where=self.prefix, found=commits, fix=fix)
        return None

    def remove(self) -> None:
        """Deletes them all, after the run has committed its result."""
        for commit in self._commits():
            self.objects.delete(commit)
        for key in list(self.objects.keys(f"{self.prefix}/")):
            self.objects.delete(key)

    def _claim(self) -> None:
        """Takes ownership of the run: the next generation."""
        if self.world.leads:
            owner = json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode()
            mine = self._latest_generation() + 1
            while not self.objects.write(f"{self.prefix}/{mine:04d}.run.json", owner, if_absent=True):
                mine += 1
            self.generation = mine
        self.generation = int(self.world.broadcast(str(self.generation)))

    def _latest_generation(self) -> int:
        keys = self.objects.keys(f"{self.prefix}/")
        return max((int(key[-13:-9]) for key in keys if key.endswith(".run.json")), default=0)

    def _commits(self) -> list[str]:
        """Newest first."""
        keys = self.objects.keys(f"{self.prefix}/")
        return sorted((key for key in keys if key.endswith(".commit.json")), reverse=True)

    def _commit(self, step: int, record: dict[str, Any]) -> None:
        """Called on rank 0 when all files are in the store."""
        if self._latest_generation() > self.generation:
            where, fix = self.prefix, "nothing, if that one runs; else run again"
            raise Interrupted("another process has taken this run over", where=where, fix=fix)
        reach("checkpoint.before_commit")
        key = f"{self.prefix}/{step:09d}.{self.generation:04d}.commit.json"
        data = json.dumps({"step": step, **record}).encode()
        self.objects.write(key, data, if_absent=True)  # if it is there, it is ours: the answer was lost
        reach("checkpoint.after_commit")
        self._prune()

    def _prune(self) -> None:
        """Retention: the newest `keep` and the best one; commits go first: none is half there."""
        records: dict[str, dict[str, Any]] = {}
        for key in self._commits():
            try:
                records[key] = json.loads(self.objects.read(key))
            except (ValueError, MissingError):  # damaged
                records[key] = {}
        sound = [key for key in records if key not in self._damaged]
        scored = {key: score for key in sound if (score := records[key].get("score")) is not None}
        finite = [key for key in scored if math.isfinite(scored[key])]
        kept = {*sound[: self.keep], *sorted(finite, key=lambda key: scored[key])[:1]}
        for key in records.keys() - kept:
            self.objects.delete(key)
            reach("checkpoint.while_deleting")
        folders = tuple(f"{records[key].get('folder')}/" for key in kept)
        for key in list(self.objects.keys(f"{self.prefix}/")):
            if "/" in key.removeprefix(f"{self.prefix}/") and not key.startswith(folders):
                self.objects.delete(key)

    def _await_save(self, last: bool = False) -> None:
        """Joins the background save; up to TRIES failures in a row of the store are tolerated."""
        error = self._saver.wait()
        self._failed = self._failed + 1 if error else 0
        if error is None:
            return
        if last or not error.retriable or isinstance(error, Interrupted) or self._failed >= TRIES:
            raise error
        print(f"a checkpoint could not be saved, training goes on: {error}", file=sys.stderr, flush=True)

    def _check(self, saved: dict[str, Any], where: str) -> None:
        differing = sorted(k for k in {*saved, *self.identity} if saved.get(k) != self.identity.get(k))
        if differing:
            found = ", ".join(f"{key}: {saved.get(key)}" for key in differing)
            expected = ", ".join(f"{key}: {self.identity.get(key)}" for key in differing)
            raise ConfigError("a checkpoint of another run", where=where, found=found, expected=expected)
