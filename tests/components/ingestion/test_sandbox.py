import ctypes
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.ingestion.sandbox import Child, Lost
from components.lib.core.errors import DataError, InternalError, ServiceError

CEILING = 1 << 29


def fail(error: Exception) -> Iterator[Any]:
    yield "before"
    raise error


def grow() -> Iterator[int]:
    """Memory without end, a little at a time."""
    held = []
    while True:
        held.append(bytes(range(256)) * (1 << 16))
        yield len(held)


def many(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number]) * (1 << 20)


def spin() -> Iterator[Any]:
    while True:
        pass
    yield


DEEDS = {
    "pid": lambda _: iter([os.getpid()]),
    "many": many,
    "core": lambda _: iter([resource.getrlimit(resource.RLIMIT_CORE)]),
    "wrong": lambda _: fail(DataError("it is wrong", where="a.txt:1", found="x")),
    "bug": lambda _: fail(KeyError("x")),
    "disk": lambda _: fail(OSError(28, "No space left on device")),
    "segfault": lambda _: iter([ctypes.string_at(0)]),
    "abort": lambda _: iter([os.abort()]),  # type: ignore[func-returns-value]
    "exit": lambda _: iter([os._exit(3)]),
    "kill": lambda _: iter([os.kill(os.getpid(), signal.SIGKILL)]),
    "allocate": lambda _: iter([bytearray(64 << 30)]),
    "grow": lambda _: grow(),
    "sleep": lambda _: iter([time.sleep(1000)]),
    "spin": lambda _: spin(),
}


def work(request: tuple[str, Any]) -> Iterator[Any]:
    name, argument = request
    return DEEDS[name](argument)


def make():
    return work


def broken():
    raise DataError("there is nothing to work with", where="here")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with closing(Child(make, CEILING)) as child:
        yield child


def ask(child: Child, name: str, argument: Any = None, seconds: float = 30) -> list[Any]:
    return list(child.ask((name, argument), seconds))


def test_values_come_in_order_and_one_process_answers_all(child):
    assert ask(child, "many", 5) == [bytes([number]) * (1 << 20) for number in range(5)]
    assert ask(child, "pid") == ask(child, "pid") != [os.getpid()]
    assert ask(child, "core") == [(0, 0)]


# deed: what is told, the limit that it names
LOSSES = {
    "segfault": ("was killed by SIGSEGV", ""),
    "abort": ("was killed by SIGABRT", ""),
    "kill": ("was killed by SIGKILL, perhaps as the machine ran out of memory", ""),
    "exit": ("ended with code 3", ""),
    "allocate": ("asked for more than 536,870,912 bytes of memory", "memory"),
    "grow": ("asked for more than 536,870,912 bytes of memory", "memory"),
    "sleep": ("gave nothing for 1 seconds", "time"),
    "spin": ("gave nothing for 1 seconds", "time"),
}


@pytest.mark.parametrize("deed", LOSSES)
def test_a_lost_child_says_how_it_ended_and_the_next_request_has_another(child, deed):
    (before,) = ask(child, "pid")
    seconds = 1 if LOSSES[deed][1] == "time" else 30
    with pytest.raises(Lost) as lost:
        ask(child, deed, seconds=seconds)
    assert (str(lost.value), lost.value.limit) == LOSSES[deed]
    assert not psutil.pid_exists(before)
    assert ask(child, "pid") != [before]


@pytest.fixture
def heard(capfd: pytest.CaptureFixture[str]) -> Iterator[Child]:
    """A child that is started when what it writes is captured."""
    with closing(Child(make, CEILING)) as child:
        yield child


def test_errors_of_the_work_come_as_they_were(heard, capfd):
    (before,) = ask(heard, "pid")
    answer = heard.ask(("wrong", None), 30)
    assert next(answer) == "before"
    with pytest.raises(DataError, match="it is wrong") as wrong:
        next(answer)
    assert (wrong.value.where, wrong.value.found) == ("a.txt:1", "x")
    with pytest.raises(OSError, match="No space left") as disk:
        ask(heard, "disk")
    assert disk.value.errno == 28
    assert capfd.readouterr().err == ""
    with pytest.raises(InternalError, match="KeyError"):
        ask(heard, "bug")
    assert "Traceback" in capfd.readouterr().err
    assert ask(heard, "pid") == [before]


def test_an_answer_that_nobody_reads_to_its_end_is_not_taken_for_the_next(child):
    answer = child.ask(("many", 9), 30)
    assert next(answer)[0] == 0
    answer.close()
    assert [value[0] for value in ask(child, "many", 2)] == [0, 1]


@pytest.mark.parametrize("deed", ["segfault", "allocate", "wrong", "many"])
def test_what_was_asked_for_ahead_is_answered_whatever_became_of_the_first(child, deed):
    for request in ((deed, 2), ("many", 3), ("pid", None)):
        child.send(request)
    with suppress(Lost, DataError):
        assert len(list(child.answer(30))) == 2 and deed == "many"
    assert [value[0] for value in child.answer(30)] == [0, 1, 2]
    assert list(child.answer(30)) == ask(child, "pid")


def test_a_child_that_cannot_be_made_ready_is_no_loss_of_a_request():
    for start, error, what in (
        (broken, DataError, "nothing to work with"),
        (os.abort, ServiceError, "could not be started"),
    ):
        with closing(Child(start, CEILING)) as child:
            for _ in range(2):
                with pytest.raises(error, match=what):
                    ask(child, "pid")


def test_signals_to_the_whole_group_are_left_to_the_parent(child):
    (pid,) = ask(child, "pid")
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    assert ask(child, "pid") == [pid]


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="not Linux")
def test_the_machine_takes_the_child_before_its_parent(child):
    (pid,) = ask(child, "pid")
    assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == 1000
