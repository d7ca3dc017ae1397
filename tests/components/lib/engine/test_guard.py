"""Steps that would do harm are skipped, said, and given up in time; the account of time adds up."""

import math
import time

import pytest
import torch

from components.lib.core.errors import DataError, Interrupted
from components.lib.engine.distributed import World
from components.lib.engine.guard import WINDOW, Guard
from components.lib.engine.meter import Meter, peak_flops
from tests.components.lib.engine import worlds
from tests.components.lib.engine.toys import SAMPLES, close, run, state, stopped

ONE_BROKEN = {"broken": (3,)}
ALL_BROKEN = {"broken": tuple(range(SAMPLES))}


def skipped(history) -> list[float]:
    return [row["skipped"] for row in history if "skipped" in row]


def _with_nan_on_one_process(world: World) -> tuple[list, dict]:
    one = run(20, model=ONE_BROKEN, world=world, report_every=1)
    return skipped(one.train()), state(one)


@pytest.mark.fault("F26")
def test_a_bad_loss_on_one_process_is_seen_by_all():
    """It skips the step everywhere, and the same steps as in one process: those with the broken sample."""
    first, second = worlds.run(_with_nan_on_one_process, 2)
    alone = run(20, model=ONE_BROKEN, report_every=1)
    assert skipped(alone.train()) == [3 in alone.order.draw(step).ids for step in range(20)] == first[0]
    assert first == second and all(torch.isfinite(p).all() for p in alone.model.parameters())
    close(first[1], state(alone), 1e-5)


def test_what_is_usual_comes_from_good_steps_alone():
    guard = Guard(2, 10.0, torch.device("cpu"))
    for step in range(2 * WINDOW):
        assert not guard.judge(0, torch.tensor(1.0 + step % 2))
        assert guard.judge(0, torch.tensor(math.nan)) and guard.judge(0, torch.tensor(math.inf))
        assert bool(guard.judge(0, torch.tensor(16.0))) == (step + 1 >= WINDOW)
        if step + 1 < WINDOW:  # too early to tell: taken for good, so it must not be in the window later
            guard.seen[0] -= 1
    assert not guard.judge(0, torch.tensor(14.0))
    assert not guard.judge(1, torch.tensor(16.0))  # each phase has its own norms


def test_a_spike_is_skipped_and_named(capfd):
    steps, options = 160, {"batch": 2, "spike": 20.0, "report_every": 1}
    assert sum(skipped(run(steps, **options).train())) == 0
    one = run(steps, model={**ONE_BROKEN, "factor": 1e4}, **options)
    hit = [step for step in range(steps) if 3 in one.order.draw(step).ids]
    early = [step for step in hit if step < WINDOW]
    assert early and len(hit) > len(early)
    one.train()
    said = [line for line in capfd.readouterr().err.splitlines() if "was skipped" in line]
    assert said and all(f"step {step} " in " ".join(said) for step in hit if step >= WINDOW + len(early))
    assert all("3" in line.partition("samples")[2] for line in said)


@pytest.mark.fault("F26")
def test_after_too_many_bad_steps_the_last_good_weights_come_back(tmp_path):
    """From step 8 to 13 all is NaN; the run rolls back to what it saved before, once, and ends well."""
    one = run(24, folder=tmp_path, checkpoint_every=3, report_every=1, bad_steps=6)
    prepare, seen = one.model.prepare, []

    def poisoned(samples, draw):
        batches = prepare(samples, draw)
        if 8 <= len(seen) < 14:
            batches[0].inputs.fill_(math.nan)
        seen.append(1)
        return batches

    one.model.prepare = poisoned
    history = one.train()
    rollbacks = [row for row in history if "rolled_back_to" in row]
    assert rollbacks == [{"step": 14.0, "rolled_back_to": 6.0}] and sum(skipped(history)) == 6
    assert history[-1]["validation/loss"] < history[0]["loss"]
    assert all(torch.isfinite(p).all() for p in one.model.parameters())


@pytest.mark.parametrize(("saved", "last"), [(True, 15), (False, 5)])
def test_rollbacks_do_not_go_on_for_ever(tmp_path, saved, last):
    """Two rollbacks, if there is a checkpoint."""
    if saved:
        with pytest.raises(Interrupted):
            stopped(run(60, folder=tmp_path), 1).train()
    one = run(60, model=ALL_BROKEN, folder=tmp_path, bad_steps=5, report_every=1)
    with pytest.raises(DataError, match=r"in a row were skipped: their gradient is not finite") as caught:
        one.train()
    assert caught.value.exit_code == 65 and one.step == last + saved


def test_scheduled_time_is_ideal_time_and_named_losses(tmp_path):
    """Over a run that is interrupted, waits, and resumes: all of it as a clock outside says."""
    start = time.perf_counter()
    for stop in (12, 0):
        meter = Meter()
        time.sleep(0.2)
        one = stopped(run(24, folder=tmp_path, checkpoint_every=5, evaluate_every=6, meter=meter), stop)
        take = one._take
        one._take = lambda *arguments, take=take: (time.sleep(0.02), take(*arguments))[1]
        try:
            one.train()
        except Interrupted:
            time.sleep(0.3)
    measured = time.perf_counter() - start
    account = meter.account()
    scheduled = account.pop("scheduled")
    assert scheduled == pytest.approx(measured, rel=0.05)
    assert sum(account.values()) == pytest.approx(scheduled, rel=0.05)
    assert {"startup", "restore", "data", "checkpoint", "evaluation", "interruption"} <= account.keys()
    assert account["startup"] > 0.4 and 0.3 <= account["interruption"] < 0.5 and account["ideal"] >= 24 * 0.02
    assert 0 < meter.summary()["goodput"] < 1


def test_the_meter_counts_real_tokens_and_work():
    meter = Meter(peak=100.0)
    meter.count(samples=2, real=30, slots=40, flops=5.0)
    time.sleep(0.05)
    rates = meter.lap(world=2)
    assert rates["padding"] == 0.25
    assert rates["units_per_second"] == pytest.approx(0.75 * rates["padded_units_per_second"], rel=1e-3)
    assert rates["mfu"] == pytest.approx(rates["flops_per_second"] / 200.0, abs=1e-3)
    assert meter.lap()["units_per_second"] == 0 and rates["memory_bytes"] > 2**24


def test_the_peak_is_that_of_this_device():
    assert peak_flops(torch.device("cpu"), "fp32", seconds=0.05, size=64) > 1e8
