"""Watchdog of the training processes of one machine: `python -m components.pretraining.watchdog PLACE`.

torchrun starts them and ends them all when one dies; its own exit code is 1, whatever happened. This process
sees to the rest: hangs, SIGTERM, the root cause, and an exit code that says it.

Until the first step is done there is no state to save: SIGTERM ends the processes at once, also where they
wait for others (in the rendezvous, in a collective) and would not hear it. Afterwards they save a checkpoint.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO

import psutil

from components.lib.core import hardware, heartbeat, signals
from components.lib.core.errors import InternalError, Interrupted, TrunklineError, WorkerLost, root_cause
from components.lib.storage import objects

STARTUP = 900.0  # seconds before the first step: imports, data, the compiler
DIAGNOSIS = 1.0  # seconds that hung processes have to say where they are
_DIED = re.compile(r"exitcode\s*: (-?\d+)")


class Watchdog:
    """Runs the job in `place` under torchrun; ends processes that hang and passes SIGTERM on to them.

    Args:
        flags: torchrun's; on a cluster the environment has them (PET_...).
        hang_seconds: how long no process may finish a step.

    Attributes:
        reached: the furthest step of the last run, -1 if none was finished.
    """

    def __init__(self, place: str, flags: list[str], hang_seconds: float) -> None:
        self.place, self.flags, self.hang_seconds = place, flags, hang_seconds
        self.reached = -1

    def run(self) -> None:
        """Returns when every process ended well.

        Raises:
            WorkerLost: if a process died without a word or hung.
            TrunklineError: what the first process that failed said.
        """
        self.reached = -1
        with tempfile.TemporaryDirectory(prefix="trunkline-") as name, signals.noted() as told:
            folder = Path(name)
            process = self._start(folder)
            assert process.stderr is not None
            log = _Log(process.stderr)
            workers, hung = self._watch(process, folder, told)
            _, left = psutil.wait_procs(workers, timeout=self.hang_seconds)
            _signal(left, signal.SIGKILL)  # that outlived their torchrun
            log.join(5)
            if process.returncode != 0 or hung:
                error = hung or _cause(folder, process.returncode, "".join(log.tail))
                if told and isinstance(error, WorkerLost | InternalError):  # before it could save anything
                    raise Interrupted("training was told to stop", fix="run again to resume") from error
                raise error

    def _start(self, folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "torch.distributed.run", *self.flags]
        command += ["-m", "components.pretraining.train", self.place]
        environment = {"OMP_NUM_THREADS": "1", **os.environ, heartbeat.VARIABLE: str(folder)}
        if "--standalone" in self.flags:  # without a named interface, gloo may pick one that reaches nobody
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        pipe, end = subprocess.PIPE, end_with_parent
        return subprocess.Popen(command, env=environment, stderr=pipe, errors="replace", preexec_fn=end)

    def _watch(
        self, process: subprocess.Popen[str], folder: Path, told: list[int]
    ) -> tuple[list[psutil.Process], WorkerLost | None]:
        """Waits for torchrun's end; returns all that it started, and the error if they hung."""
        start, passed, hung = time.monotonic(), 0, None
        workers: list[psutil.Process] = []
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                workers = list({*workers, *psutil.Process(process.pid).children()})
            pulse = heartbeat.latest(folder)
            self.reached = max(self.reached, pulse.step if pulse else -1)
            begun = self.reached >= 0
            if len(told) > passed:
                passed = len(told)
                if begun:
                    _signal(workers, signal.SIGTERM)
                else:
                    process.kill()
                    _signal(workers, signal.SIGKILL)
            silent = pulse.age if pulse else 0.0 if begun else time.monotonic() - start - STARTUP
            if silent > self.hang_seconds and hung is None and all(map(_alive, workers)):
                hung = _hang(workers, pulse)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
            time.sleep(0.1)
        return workers, hung


def main(place: str) -> int:
    """Runs the processes of this machine in a TrainJob; the exit code says what became of them."""
    from components.pretraining import job
    from components.pretraining.orphan import OrphanWatch

    orphan: OrphanWatch | None = None
    try:
        with (
            signals.obeyed()
        ):  # the first process of a container has no other answer to SIGTERM than a handler
            objects.connect(place).delete(_error_name())  # of the pod that was here before
            hardware.check_accelerators()
            found = job.read(place)
            orphan = OrphanWatch(found)
            orphan.start()
            Watchdog(place, [], found.config["hang_seconds"]).run()
    except TrunklineError as raised:
        error = orphan.cause(raised) if orphan else raised
        print(f"\npretraining failed: {error}", file=sys.stderr, flush=True)
        _leave(error, place)
        return error.exit_code
    return 0


def _leave(error: TrunklineError, place: str) -> None:
    """Writes the error where the launcher looks; that the store is away is often the error itself."""
    try:
        objects.connect(place).write(_error_name(), json.dumps(error.to_dict()).encode())
    except TrunklineError as raised:
        print(f"the error could not be handed to the launcher: {raised}", file=sys.stderr, flush=True)


def _error_name() -> str:
    return f"errors/{os.environ.get('PET_NODE_RANK', '0')}.json"


def end_with_parent() -> None:
    """Has the kernel send this process SIGTERM when its parent dies, so that no training runs unwatched."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _hang(workers: list[psutil.Process], pulse: heartbeat.Heartbeat | None) -> WorkerLost:
    """Ends processes that hang: their stacks go to the log first."""
    _signal(workers, signal.SIGUSR1)
    time.sleep(DIAGNOSIS)
    _signal(workers, signal.SIGKILL)
    where, age = (f"step {pulse.step}", pulse.age) if pulse else ("the first step", STARTUP)
    fix = "see the stacks in the log above; raise pretraining.hang_seconds if steps take that long"
    return WorkerLost("training hangs", where=where, found=f"no step in {age:.0f} s", fix=fix)


def _cause(folder: Path, code: int, log: str) -> TrunklineError:
    """Root cause: of several processes that failed, the first that did not only because another one had."""
    errors = heartbeat.errors(folder)
    if errors and not isinstance(root_cause(errors), WorkerLost):
        return root_cause(errors)
    died = [int(found) for found in _DIED.findall(log)]
    killed = next((number for number in (*died, code) if number < 0), None)  # torchrun itself, perhaps
    if killed is None and not errors:
        what = "a training process died without a word"
        return InternalError(what, found=f"exit codes {died or code}", fix="see its log above")
    found, fix = signal.Signals(-killed).name if killed else errors[0].found, ""
    if killed == -signal.SIGKILL:
        said, fix = (
            hardware.out_of_memory(),
            "lower pretraining.micro_batch, or raise the memory of the stage",
        )
        found, fix = (f"{found}: {said}", fix) if said else (found, f"if memory ran out, {fix}")
    return WorkerLost("a training process was lost", found=found, fix=fix)


def _alive(process: psutil.Process) -> bool:
    """False as well for one whose end torchrun has yet to note: then it ends the others itself."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


class _Log(threading.Thread):
    """Copies the processes' stderr to ours as it comes, and keeps its end."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self.tail: deque[str] = deque(maxlen=200)
        self._stream = stream
        self.start()

    def run(self) -> None:
        with self._stream as lines:
            for line in lines:
                self.tail.append(line)
                sys.stderr.write(line)
                sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
