"""F01-F07, F24, F27-F29: processes that die, hang, or are told to stop; the trunk is the same to the bit."""

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.faults.lab import TINY, Lab, below, kill_all, terminate

long = pytest.mark.long


@pytest.fixture(scope="module")
def reference(prepared, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("reference") / "lab", prepared)
    assert lab.run().code == 0, lab.log()
    return lab


@pytest.fixture
def lab(prepared, tmp_path):
    return Lab(tmp_path / "lab", prepared)


@pytest.mark.fault("F01", "F27")
def test_a_rank_is_killed(lab, reference):
    lab.arm("training.step", "kill at=17 rank=1")
    done = lab.run()
    lab.assert_whole(reference, done)
    assert lab.fired("training.step") and done.log.count("starting again") == 1
    assert "SIGKILL" in done.log and "micro_batch" in done.log  # what to do, if it was for want of memory
    assert "resumed after step 15" in done.log


@long
@pytest.mark.fault("F01")
@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_killed_at_random(lab, reference, seed):
    generator, struck = random.Random(seed), []
    lab.arm("training.step", f"kill at={generator.randrange(6, 20)} rank={generator.randrange(2)}")
    process = lab.start()
    while process.poll() is None:
        if lab.fired("training.step") and len(struck) < 3:
            struck.append(1)
            lab.arm("training.step", f"kill at={generator.randrange(6, 12)} rank={generator.randrange(2)}")
        time.sleep(0.05)
    lab.assert_whole(reference, lab.end(process))
    assert len(struck) >= 2


def some(short: str, *others: str):
    """Parameters, of which the first is tried also in `make test`."""
    return [short, *(pytest.param(name, marks=long) for name in others)]


@long
@pytest.mark.parametrize(
    "place", ["before_commit", "before_upload", "between_files", "after_commit", "while_deleting"]
)
@pytest.mark.fault("F02", "F03")
def test_all_are_killed_while_a_checkpoint_is_saved(lab, reference, place):
    process = lab.frozen("at=3", f"checkpoint.{place}")
    time.sleep(0.2)
    kill_all(process)
    commits = lab.commits()
    assert commits  # never none
    done = lab.run()
    lab.assert_whole(reference, done)
    assert f"resumed after step {commits[-1]}" in done.log


@long
@pytest.mark.fault("F04")
def test_a_rank_hangs(lab, reference):
    lab.arm("training.step", "stop at=17 rank=1")
    quick = replace(TINY, hang_seconds=10, restarts=0)
    done = lab.run(quick)
    assert done.code == 75 and "training hangs" in done.log and lab.fired("training.step")
    assert "most recent call first" in done.log  # the stacks of the one that waits
    lab.assert_whole(reference, lab.run())


WAYS = {
    "the launcher": lambda process: terminate(process.pid),
    "all": lambda process: [
        terminate(p.pid) for p in [*psutil.Process(process.pid).children(recursive=True), process]
    ],
    "torchrun": lambda process: terminate(below(process, "torch.distributed.run")[0].pid),
    "one rank": lambda process: terminate(below(process)[1].pid),
    "twice": lambda process: (terminate(process.pid), time.sleep(0.05), terminate(process.pid)),
}


def pending(worker: psutil.Process) -> bool:
    """Whether a stopped process has a SIGTERM before it."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    signals = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return bool(signals >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("way", some(*WAYS))
@pytest.mark.fault("F05", "F07")
def test_a_request_to_stop(lab, reference, way):
    slow = replace(TINY, checkpoint_every=1000)
    process = lab.frozen("at=12 rank=0", config=slow)
    WAYS[way](process)
    if way != "one rank":
        lab.until(process, lambda: any(map(pending, below(process))))
    for worker in below(process):
        worker.send_signal(signal.SIGCONT)
    done = lab.end(process)
    assert done.code == 75, done.log[-3000:]
    steps = lab.commits()
    assert len(steps) == 1 and 12 <= steps[0] <= 15  # at the step at hand: nothing is done again
    done = lab.run(slow)
    assert f"resumed after step {steps[0]}" in done.log
    lab.assert_whole(reference, done)


@long
@pytest.mark.fault("F06")
def test_too_little_time_to_stop(lab, reference):
    process = lab.start()
    lab.until(process, lambda: len(lab.commits()) >= 1)
    terminate(process.pid)
    time.sleep(0.05)
    kill_all(process)
    assert lab.commits()
    lab.assert_whole(reference, lab.run())


@long
@pytest.mark.fault("F02", "F27")
def test_only_the_launcher_is_killed(lab, reference):
    """Its processes save their state and end: nobody would watch them."""
    process = lab.start()
    lab.until(process, lambda: len(lab.commits()) >= 1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lab.assert_whole(reference, lab.run())


@long
@pytest.mark.fault("F24")
def test_two_launchers_at_once(lab, reference):
    first, second = lab.start(), lab.start()
    codes = [first.wait(240), second.wait(240)]
    assert set(codes) <= {0, 75} and 0 in codes, lab.log()[-3000:]
    lab.assert_whole(reference, lab.run())


@long
@pytest.mark.fault("F24")
def test_a_zombie_commits_nothing(prepared, tmp_path, reference):
    """A process that was thought dead wakes up when another has taken the run over."""
    lab = Lab(tmp_path / "lab", prepared, replace(TINY, nproc=1))
    zombie, heir = lab.frozen("at=18"), lab.frozen("at=8")
    zombie.send_signal(signal.SIGCONT)
    assert zombie.wait(120) == 75 and max(lab.commits()) <= 15 + 8
    heir.send_signal(signal.SIGCONT)
    assert "taken this run over" in (lab.folder / "1.log").read_text()
    assert lab.end(heir).code == 0
    alone = Lab(tmp_path / "alone", prepared, lab.config)
    alone.assert_whole(lab, alone.run())


@pytest.mark.fault("F28")
def test_what_cannot_succeed_is_not_tried_again(lab):
    done = lab.run(replace(TINY, objective={"masked_lm": {"ratio": 2.0}}))
    assert done.code == 78 and "starting again" not in done.log and "out of range" in done.log


@long
@pytest.mark.fault("F28")
def test_a_crash_loop_ends(lab):
    process = lab.start(replace(TINY, restarts=2))
    while process.poll() is None:
        if not (lab.failpoints / "training.step").exists():
            lab.arm("training.step", "kill at=1")
        time.sleep(0.02)
    done = lab.end(process)
    assert done.code == 75 and done.log.count("starting again") == 2


@long
@pytest.mark.fault("F29")
def test_two_processes_then_one_then_two(prepared, tmp_path):
    """The same samples and the same gradient, up to the order in which fp32 adds up.

    In bf16 it is 1e-4: autocast rounds the gradient of a weight on each process before they are added, so
    one process rounds once where two round twice.
    """
    config = replace(TINY, precision="fp32")
    steady, lab = (Lab(tmp_path / name, prepared, config) for name in ("steady", "lab"))
    assert steady.run().code == 0, steady.log()
    for nproc, step in ((2, 12), (1, 13)):
        lab.arm("training.step", f"terminate at={step}")
        done = lab.run(replace(config, nproc=nproc))
        assert done.code == 75 and lab.fired("training.step"), done.log[-2000:]
    done = lab.run()
    assert done.code == 0 and "resumed after step" in done.log
    ours, theirs = lab.history(), steady.history()
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]  # each step once
    ours, theirs = ([row["loss"] for row in rows if "loss" in row] for rows in (ours, theirs))
    assert len(ours) == 40 and ours[:12] == theirs[:12]  # to the bit
    assert ours == pytest.approx(theirs, rel=1e-5)
