import multiprocessing
import os
import signal
import threading
import time

import pytest

from components.lib.storage import lease as lease_module
from components.lib.storage.lease import VARIABLE, Lease, machine
from components.lib.storage.objects import connect

PREFIX = "launches/0123"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv(VARIABLE, "0.1")


def lease(store, owner):
    return Lease(store.objects, PREFIX, owner)


def taken(one, within=5.0):
    end = time.monotonic() + within
    while not (got := one.take()) and time.monotonic() < end:
        time.sleep(0.02)
    return got


def test_one_of_several_takes_it(any_store):
    owners = [lease(any_store, f"run {number}") for number in range(4)]
    ready, took = threading.Barrier(4), []

    def take(one):
        ready.wait()
        took.extend([one.owner] if one.take() else [])

    threads = [threading.Thread(target=take, args=(one,)) for one in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert took == [lease(any_store, "").holder().owner]


def test_it_is_given_back_and_taken_anew(any_store):
    first, second = lease(any_store, "a"), lease(any_store, "b")
    assert not first.alive(1) and first.take() and first.alive(1) and not second.take()
    first.release()
    assert not first.alive(1)
    assert second.take() and second.holder().owner == "b"
    first.release()  # it is not ours any more
    assert second.alive(1) and not first.renew() and second.renew()
    assert len(list(any_store.objects.keys(PREFIX))) == 1, "older generations go"


def test_the_same_owner_takes_it_at_once(store):
    """The pod of a step is made anew: the process before it has died."""
    zombie, anew = lease(store, "a"), lease(store, "a")
    assert zombie.take() and anew.take() and not zombie.renew()


def test_who_closes_a_run_gives_back_what_its_dead_processes_held(store):
    lease(store, "a").take()
    lease(store, "b").end()
    assert lease(store, "").alive(1)
    lease(store, "a").end()
    assert not lease(store, "").alive(1) and lease(store, "b").take()


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_a_live_one_is_not_taken_whatever_its_clock_says(store, monkeypatch, ahead):
    holder, other = lease(store, "a"), lease(store, "b")
    assert holder.take()
    real = time.time
    wrong = lambda: real() + (ahead if threading.current_thread().name == "lease" else 0.0)  # noqa: E731
    monkeypatch.setattr(time, "time", wrong)
    with holder.kept():
        assert not taken(other, 0.8)
    assert other.take()


def _hold(folder, elsewhere):
    lease_module.machine = lambda: "another" if elsewhere else machine()
    one = Lease(connect(folder), PREFIX, "a")
    one.take()
    with one.kept():
        time.sleep(60)


@pytest.mark.parametrize(
    ("how", "elsewhere"), [(signal.SIGKILL, True), (signal.SIGSTOP, True), (signal.SIGKILL, False)]
)
def test_a_dead_one_is_taken_over(store, how, elsewhere, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0.1" if elsewhere else "20")
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_hold, args=(store.uri, elsewhere))
    process.start()
    try:
        other, told = lease(store, "b"), []
        while other.holder() is None:
            time.sleep(0.02)
        assert not taken(other, 0.6), "it is renewed"
        os.kill(process.pid, how)
        if not elsewhere:
            process.join()
        began = time.monotonic()
        assert other.wait(lambda: False, told.append)
        assert told == ["a"] if elsewhere else time.monotonic() - began < 1
        if how == signal.SIGSTOP:
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.3)
        assert other.holder().owner == "b", "a zombie renews nothing"
    finally:
        process.kill()
        process.join()


def test_waiting_ends_when_the_work_is_done(store):
    assert lease(store, "a").take()
    assert not lease(store, "b").wait(lambda: True, lambda owner: None)


def test_a_damaged_one_is_nobodys(store):
    store.objects.write(f"{PREFIX}/lease.000007.json", b"{")
    one = lease(store, "a")
    assert not one.alive(60) and one.take() and one.generation == 8
