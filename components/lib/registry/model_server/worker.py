"""Model process as its server sees it: started, asked within a time, ended; its death has an error."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.lib.core.errors import DataError, WorkerLost
from components.lib.registry import examples
from components.lib.registry.model_server.answering import ANSWERED, UNDIVIDED, UNUSABLE, answer
from components.lib.registry.model_server.limits import Limits
from components.lib.registry.model_server.protocol import Question, Refused, joined

_PROCESSES = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang


class NotLoaded(DataError):
    """A version cannot be loaded: by its fault, or that of a full disk here."""


class Undivided(Exception):
    """A model did not answer one prediction a record: its requests cannot be computed together."""


class Worker:
    """A process with one version of a model."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=answer, args=(theirs, folder, limits.threads), daemon=True)
        self._process.start()
        theirs.close()

    def load(self) -> None:
        """Waits until the model is loaded and has answered its stored examples as evaluation did.

        Raises:
            NotLoaded: if it cannot be loaded.
            DataError: if it answers otherwise.
            WorkerLost: if the process died, as of memory that ran out.
        """
        end = time.monotonic() + self.limits.loading
        status, why = self._received(self.limits.loading)
        if status != ANSWERED:
            raise NotLoaded("a version cannot be loaded", found=why)
        stored = examples.read(self.folder)
        if stored is None:
            return
        self._pipe.send((stored.question, [len(stored.predictions)]))
        status, found = self._received(end - time.monotonic())
        if status != ANSWERED:
            raise DataError("a version does not answer what was evaluated", found=str(found))
        told = examples.difference(stored.predictions, json.loads(found[0])["predictions"])
        if told:
            raise DataError("a version does not answer what was evaluated", found=told)

    def ask(self, questions: Sequence[Question]) -> list[bytes]:
        """The answers to questions of one key.

        Raises:
            Refused: 400 for unusable inputs, 500 if the model failed.
            Undivided: if they must be asked one by one.
            WorkerLost: if the process died, or did not answer in time and was ended.
        """
        try:
            self._pipe.send((joined(questions), [one.records for one in questions]))
        except OSError:
            raise self._lost("ended") from None
        status, found = self._received(self.limits.seconds)
        if status == UNDIVIDED:
            raise Undivided
        if status != ANSWERED:
            raise Refused(400 if status == UNUSABLE else 500, found)
        answers: list[bytes] = found
        return answers

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def end(self) -> None:
        """Kills the process, which has no state; whoever waits for its answer learns that it is gone."""
        self._process.kill()
        self._process.join()

    def _received(self, seconds: float) -> Any:
        try:
            if self._pipe.poll(max(0.0, seconds)):
                return self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost("ended") from None
        self._process.kill()
        raise self._lost(f"did not answer in {seconds:.0f} s")

    def _lost(self, how: str) -> WorkerLost:
        self._process.join(5)
        code = self._process.exitcode
        found = f"it {how}" + (f", by signal {-code}" if code and code < 0 else f", exit code {code}")
        fix = "signal 9: give it more memory, or send fewer records at once" if code == -9 else ""
        return WorkerLost("the process of a model is gone", found=found, fix=fix)
