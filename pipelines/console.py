"""A quiet console for a local run: one line a stage, its progress bar, and the full log in a file."""

from __future__ import annotations

import io
import re
import shutil
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from components.lib.core.errors import InternalError, WorkerLost
from pipelines.runners import ENDED
from pipelines.stages import STAGE_OF

_START = re.compile(r"Executing task \S*'([\w-]+)'")
_END = re.compile(r"Task \S*'([\w-]+)'\S* finished with status \S*?(SUCCESS|FAILURE)")
_SAID = re.compile(r"(\w+): (.+)")
_OUTPUT = re.compile(r"(made|reused) \S+")
_PASSED_ON = re.compile(r"passed on: (.+)")
_PROGRESS = re.compile(r"\d+:\d\d to go$")
_CODE = re.compile(rf"{ENDED} (\d+)")
_NOISE = re.compile(r"\[KFP Executor|^-*$")
_LAST = 12  # lines of a stage that ended without a word
_QUIET_SECONDS = 15.0  # between two lines of progress where there is no terminal


@dataclass(frozen=True)
class Ended:
    """A stage that failed.

    Attributes:
        status: exit status of its process; above 128 where a signal ended it, 0 where it is not known.
        lines: its last ones; from its own error on, where it had one.
        said: whether it had one.
    """

    stage: str
    status: int
    lines: str
    said: bool

    @property
    def code(self) -> int:
        """Exit code of the run, where the ledger has none."""
        if self.said and 64 <= self.status < 128:
            return self.status
        return (InternalError if 0 < self.status < 128 else WorkerLost).exit_code

    def __str__(self) -> str:
        if self.said:
            return self.lines
        by = self.status - 128
        how = f"was killed by signal {by}: run again to resume" if by > 0 else "ended without a word"
        return f"{self.stage} {how}; its last lines:\n{self.lines}"


class Console(io.TextIOBase):
    """Stands for `sys.stdout` while KFP runs.

    KFP prints every line of a stage from the thread that waits for it, so lines belong to the stage which
    that thread started last.

    Args:
        path: the file that gets everything.
    """

    def __init__(self, path: Path, out: TextIO | None = None) -> None:
        self.path = path
        self.failed: list[Ended] = []
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = path.open("a", encoding="utf-8")
        self._lock = threading.RLock()
        self._threads: dict[int, _Task] = {}

    def write(self, text: str) -> int:
        with self._lock:
            task = self._threads.setdefault(threading.get_ident(), _Task())
            task.rest += text
            *lines, task.rest = task.rest.split("\n")
            for line in lines:
                self._log.write(f"{line}\n")
                task.lines.append(line)
                self._show(task, line.strip())
            self._log.flush()
        return len(text)

    def close(self) -> None:
        self._log.close()

    def line(self, text: str) -> None:
        """Prints a line for good."""
        self._out.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
        self._out.flush()

    def _show(self, task: _Task, line: str) -> None:
        if started := _START.search(line):
            task.begin(STAGE_OF.get(re.sub(r"-\d+$", "", started[1]), started[1]))
            self._passing(task, f"  {task.stage:<13} ...")
        elif ended := _END.search(line):
            state = "failed" if ended[2] == "FAILURE" else task.state
            self.failed += [task.ended()] * (state == "failed")
            seconds = time.monotonic() - task.start
            self.line(f"  {task.stage:<13} {state:<7} {seconds:6.1f} s  {'; '.join(task.notes)}".rstrip())
        elif _PROGRESS.search(line):
            self._passing(task, f"  {task.stage:<13} {line}")
        elif code := _CODE.fullmatch(line):
            task.code = int(code[1])
        elif (said := _SAID.fullmatch(line)) and said[1] == task.stage:
            task.say(said[2])

    def _passing(self, task: _Task, text: str) -> None:
        """Shows what the next line will overwrite; without a terminal, now and then as a line."""
        now = time.monotonic()
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r\x1b[K{text[:width]}")
            self._out.flush()
        elif now - task.shown > _QUIET_SECONDS:
            task.shown = now
            self.line(text)


class _Task:
    """What one thread of KFP is doing."""

    def __init__(self) -> None:
        self.rest = ""
        self.begin("")

    def begin(self, stage: str) -> None:
        self.stage, self.state, self.notes = stage, "done", list[str]()
        self.code, self.lines = 0, deque[str](maxlen=10 * _LAST)
        self.start = self.shown = time.monotonic()

    def ended(self) -> Ended:
        """What the stage left."""
        lines = [line.removeprefix(" " * 4) for line in self.lines if not _NOISE.search(line.strip())][:-1]
        said = [number for number, line in enumerate(lines) if line.startswith(f"{self.stage} failed: ")]
        last = [line for line in lines[said[-1] if said else -_LAST :] if not _CODE.fullmatch(line)]
        return Ended(self.stage, self.code, "\n".join(last), said=bool(said))

    def say(self, text: str) -> None:
        """A note of the stage itself; the fate of its outputs is its state."""
        if output := _OUTPUT.fullmatch(text):
            self.state = output[1] if self.state in ("done", "reused") else self.state
        elif reason := _PASSED_ON.fullmatch(text):
            self.state, self.notes = "passed", [*self.notes, reason[1]]
        else:
            self.notes.append(text)
