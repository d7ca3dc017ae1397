"""Sandboxed worker processes: a crash, a hang or a memory overrun fails only the request that caused it.

It is a wall against accidents and bombs, not against a decoder that is taken over: a child has the rights of
its parent, and what it answers is unpickled.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from components.lib.core import hardware, memory
from components.lib.core.errors import ServiceError, TrunklineError, revived, unexpected
from components.lib.core.signals import SIGNALS

Work = Callable[[Any], Iterator[Any]]

ROOT = Path(__file__).parents[2]
START = 300  # seconds in which a child must have imported what it needs
LAST = 10  # seconds from the end of the connection to the end of the process
VALUE, END, FAILED, SYSTEM, MEMORY = range(5)  # kinds of messages of a child
PDEATHSIG = 1  # of prctl(2): the signal that comes when the parent is gone
SETTINGS = {"time": "ingestion.timeout", "memory": "ingestion.memory"}  # what sets the limits
FIRST = "1000"  # of oom_score_adj: if the machine runs out of memory, it takes the child and not the stage


class Lost(Exception):
    """A child could not answer; the text says how it ended.

    Attributes:
        limit: what it went beyond: 'time', 'memory', or '' if it died of itself.
    """

    def __init__(self, how: str, limit: str = "") -> None:
        super().__init__(how)
        self.limit = limit

    @property
    def reason(self) -> str:
        """Why the file is set aside over which the child was lost."""
        return f"the process that decoded it {self}" + (
            f" (setting {SETTINGS[self.limit]})" if self.limit else ""
        )


class Child:
    """A process that answers one request after the other; after a loss the next request has a new one.

    Args:
        make: is called in the child, and returns what it does with a request; both are pickled.
        ceiling: bytes that a request may map, beyond what the child holds when it comes.
    """

    def __init__(self, make: Callable[[], Work], ceiling: int) -> None:
        self._make, self._ceiling = make, ceiling
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: deque[Any] = deque()
        self._stopped = False

    def ask(self, request: Any, seconds: float) -> Iterator[Any]:
        """`send` and `answer`."""
        self.send(request)
        yield from self.answer(seconds)

    def send(self, request: Any) -> None:
        """Asks for something before the answers to earlier requests were read; it must be small."""
        self._waiting.append(request)
        if self._process is not None:
            with suppress(OSError):  # its end is told by the answer, and the next child is asked again
                self._channel.send(request)

    def answer(self, seconds: float) -> Iterator[Any]:
        """The values that answer the oldest request, as they come.

        Raises:
            Lost: if the child died, gave nothing for so many seconds, or went beyond its ceiling.
            ServiceError: if no child can be started.
            TrunklineError: and OSError: what the work raises.
        """
        if self._stopped:
            raise Lost("was stopped")
        if self._process is None:
            self._start()
        self._waiting.popleft()
        whole = False
        try:
            while (message := self._receive(seconds))[0] == VALUE:
                yield message[1]
            whole = message[0] != MEMORY
            self._judge(*message)
        finally:
            if not whole:
                self._end()

    def stop(self) -> None:
        """Kills the child, whatever it does; whoever waits for its answer, in another thread, gets Lost."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the child for good."""
        self.stop()
        self._end()

    def _start(self) -> None:
        ours, theirs = Pipe()
        with theirs:
            code = f"from components.ingestion.sandbox import serve; serve({theirs.fileno()}, {os.getpid()})"
            path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
            )
        self._channel: Connection = ours
        if self._stopped:  # meanwhile
            self._process.kill()
        try:
            self._send((self._make, self._ceiling))
            self._judge(*self._receive(START))
            for request in self._waiting:
                self._send(request)
        except (Lost, TrunklineError, OSError) as error:
            self._end()
            if not isinstance(error, Lost):
                raise
            fix = "see what it wrote to the log; give the stage more memory"
            raise ServiceError("a process could not be started", found=f"it {error}", fix=fix) from error

    def _send(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except OSError as error:
            raise Lost(self._how()) from error

    def _receive(self, seconds: float) -> tuple[int, Any]:
        try:
            if not self._channel.poll(seconds):
                raise Lost(f"gave nothing for {seconds:,.0f} seconds", "time")
            message: tuple[int, Any] = self._channel.recv()
        except (EOFError, OSError) as error:
            raise Lost(self._how()) from error
        return message

    def _judge(self, kind: int, value: Any) -> None:
        """Raises what the last message of an answer tells."""
        if kind == MEMORY:
            raise Lost(f"asked for more than {self._ceiling:,} bytes of memory", "memory")
        if kind == FAILED:
            raise revived(value)
        if kind == SYSTEM:
            raise OSError(*value)

    def _how(self) -> str:
        """How the child ended that closed its side."""
        assert self._process is not None
        try:
            code = self._process.wait(LAST)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code == -signal.SIGKILL:
            why = hardware.out_of_memory() or "perhaps as the machine ran out of memory"
            return f"was killed by SIGKILL, {why}"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._channel.close()
        self._process = None


def serve(descriptor: int, parent: int) -> None:
    """The life of a child: requests come and answers go by a connection, until the parent closes it."""
    _confine(parent)
    with Connection(descriptor) as channel, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        make, ceiling = channel.recv()
        made: list[Work] = []
        _answer(channel, _set_up(make, made))
        while True:
            _answer(channel, _limited(made[0], channel.recv(), ceiling))


def _set_up(make: Callable[[], Work], made: list[Work]) -> Iterator[Any]:
    made.append(make())
    yield from ()


def _limited(work: Work, request: Any, ceiling: int) -> Iterator[Any]:
    with memory.at_most(ceiling):
        yield from work(request)


def _answer(channel: Connection, values: Iterator[Any]) -> None:
    """Sends the values one by one, then how the work ended."""
    last: tuple[int, Any] = (END, None)
    try:
        for value in values:
            channel.send((VALUE, value))
    except MemoryError:
        last = (MEMORY, None)
    except TrunklineError as error:
        last = (FAILED, error.to_dict())
    except (BrokenPipeError, ConnectionResetError):
        raise
    except OSError as error:
        last = (SYSTEM, (error.errno, error.strerror, error.filename) if error.errno else error.args)
    except Exception as error:
        last = (FAILED, unexpected(error).to_dict())
    channel.send(last)


def _confine(parent: int) -> None:
    for number in SIGNALS:  # a whole group is told to stop: the parent, which ends its children, is too
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):  # /proc may be read-only
            Path("/proc/self/oom_score_adj").write_text(FIRST)
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit(1)
