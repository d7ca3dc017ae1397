"""Steps that would do harm are skipped, said, and given up in time; the account of time adds up."""

import math
import time

import numpy as np
import pytest
import torch

from components.lib.core.errors import DataError, Interrupted
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import World
from components.lib.engine.guard import WINDOW, Guard
from components.lib.engine.meter import Meter, peak_flops
from components.lib.engine.trainable import Loss, WeightedSum
from components.lib.storage.objects import connect
from tests.components.lib.engine import worlds
from tests.components.lib.engine.toys import Regression, run


class Broken(Regression):
    """Samples whose loss is NaN, or huge, though their gradient would be finite."""

    def __init__(self, ids: tuple[int, ...], factor: float) -> None:
        super().__init__()
        self.ids, self.factor = ids, factor

    def prepare(self, samples, draw):
        batch = super().prepare(samples, draw)
        batch.targets[np.isin(draw.ids, self.ids)] *= self.factor
        return batch

    def forward(self, batch) -> Loss:
        loss = super().forward(batch)
        loss.total = (
            loss.total.detach() * math.nan + loss.total if batch.targets.isnan().any() else loss.total
        )
        return loss


def checkpoints(folder) -> Checkpoints:
    return Checkpoints(connect(str(folder)), "c", {})


def broken(ids, factor=math.nan) -> WeightedSum:
    torch.manual_seed(0)
    return WeightedSum({"term0": Broken(ids, factor)}, {"term0": 1.0})


def _with_nan_on_one_process(world: World) -> tuple[list, list]:
    one = run(20, model=broken((3,)), world=world, report_every=1)
    history = one.train()
    return [row.get("skipped") for row in history], torch.cat(
        [p.flatten() for p in one.model.parameters()]
    ).tolist()


@pytest.mark.fault("F26")
def test_a_bad_loss_on_one_process_is_seen_by_all():
    """It skips the step everywhere, and the same steps as in one process."""
    first, second = worlds.run(_with_nan_on_one_process, 2)
    alone = run(20, model=broken((3,)), report_every=1)
    skipped = [row.get("skipped") for row in alone.train()]
    assert first == second and first[0] == skipped and sum(skipped[:-1]) > 0
    assert first[1] == pytest.approx(
        torch.cat([p.flatten() for p in alone.model.parameters()]).tolist(), abs=1e-5
    )


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
    steps, where = 160, 3
    one = run(steps, model=broken((where,), 1e4), batch=2, spike=20.0, report_every=1)
    hit = [step for step in range(steps) if where in one.order.draw(step).ids]
    early = [step for step in hit if step < WINDOW]
    history = run(steps, model=broken((), 1.0), batch=2, spike=20.0, report_every=1).train()
    assert sum(row.get("skipped", 0) for row in history) == 0
    assert early and len(hit) > len(early)
    one.train()
    said = [line for line in capfd.readouterr().err.splitlines() if "was skipped" in line]
    assert said and all(f"step {step} " in " ".join(said) for step in hit if step >= WINDOW + len(early))
    assert all(str(where) in line.partition("samples")[2] for line in said)


@pytest.mark.fault("F26")
def test_after_too_many_bad_steps_the_last_good_weights_come_back(tmp_path, capfd):
    """From step 8 to 15 all is NaN; the run returns to what it saved before, once, and ends well."""
    one = run(24, checkpoints=checkpoints(tmp_path), checkpoint_every=3, report_every=1, bad_steps=6)
    prepare, seen = one.model.prepare, []

    def poisoned(samples, draw):
        batches = prepare(samples, draw)
        if 8 <= len(seen) < 14:
            batches[0].inputs.fill_(math.nan)
        seen.append(1)
        return batches

    one.model.prepare = poisoned
    history = one.train()
    returned = [row for row in history if "rolled_back_to" in row]
    assert returned == [{"step": 14.0, "rolled_back_to": 6.0}]
    assert sum(row.get("skipped", 0) for row in history) == 6
    assert history[-1]["validation/loss"] < history[0]["loss"]
    assert all(torch.isfinite(p).all() for p in one.model.parameters())


def test_returning_does_not_go_on_for_ever(tmp_path):
    one = run(
        60, model=broken(tuple(range(50))), checkpoints=checkpoints(tmp_path), bad_steps=5, report_every=1
    )
    one.checkpoints.save(0, one.engine.state(), {"identity": {}, **_state(one)})
    one.checkpoints.wait()
    with pytest.raises(DataError, match="in a row were skipped") as caught:
        one.train()
    assert caught.value.exit_code == 65 and one.step == 15


def _state(one) -> dict:
    return {
        "history": [],
        "buffer": one._buffer.state(),
        "meter": one.meter.state(),
        "streak": 0,
        "rollbacks": 0,
    }


def test_scheduled_time_is_ideal_time_and_named_losses(tmp_path):
    """Over a run that is interrupted, waits, and resumes: to one per cent of what a clock outside says."""
    start = time.perf_counter()
    for stop in (12, 0):
        meter = Meter()
        time.sleep(0.2)
        one = run(24, checkpoints=checkpoints(tmp_path), checkpoint_every=5, evaluate_every=6, meter=meter)
        take = one._take

        def slow(*arguments, take=take, one=one, stop=stop):
            time.sleep(0.02)
            return take(*arguments) or one.step + 1 == stop

        one._take = slow
        try:
            one.train()
        except Interrupted:
            time.sleep(0.3)
    measured = time.perf_counter() - start
    account = meter.account()
    scheduled = account.pop("scheduled")
    assert scheduled == pytest.approx(measured, rel=0.01)
    assert sum(account.values()) == pytest.approx(scheduled, rel=0.01)
    assert {"startup", "restore", "data", "checkpoint", "evaluation", "interruption"} <= account.keys()
    assert account["startup"] > 0.4 and 0.3 <= account["interruption"] < 0.5 and account["ideal"] >= 24 * 0.02
    assert 0 < meter.summary()["goodput"] < 1


def test_the_meter_counts_real_tokens_and_work():
    meter = Meter(peak=100.0)
    meter.count(samples=2, real=30, slots=40, flops=5.0)
    time.sleep(0.05)
    rates = meter.lap(world=2)
    assert rates["padding"] == 0.25
    assert rates["tokens_per_second"] == pytest.approx(0.75 * rates["padded_tokens_per_second"], rel=1e-3)
    assert rates["mfu"] == pytest.approx(rates["flops_per_second"] / 200.0, abs=1e-3)
    assert meter.lap()["tokens_per_second"] == 0 and rates["memory_bytes"] > 2**24


def test_the_peak_is_that_of_this_device():
    assert peak_flops(torch.device("cpu"), "fp32", seconds=0.05, size=64) > 1e8
