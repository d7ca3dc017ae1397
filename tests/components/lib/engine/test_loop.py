"""The loop: what is trained does not depend on how it is computed."""

import os
import signal

import pytest
import torch

from components.lib.core.errors import DataError, Interrupted
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import ALONE
from components.lib.engine.trainable import WeightedSum
from components.lib.storage.objects import connect
from tests.components.lib.engine import worlds
from tests.components.lib.engine.toys import Regression, run


def weights(one) -> list[float]:
    return torch.cat([p.detach().flatten() for p in one.model.parameters()]).tolist()


def checkpoints(folder, world=ALONE, **identity) -> Checkpoints:
    return Checkpoints(connect(str(folder)), "checkpoints/toy", {"name": "toy", **identity}, world=world)


def test_training_learns():
    history = run(200).train()
    losses = [row["loss"] for row in history if "loss" in row]
    assert losses[-1] < 0.1 * losses[0]
    assert history[-1]["validation/loss"] < 0.2 * losses[0]


def test_two_runs_are_equal_to_the_bit():
    first, second = run(dropout=0.3), run(dropout=0.3)
    assert first.train() == second.train()
    assert weights(first) == weights(second)


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_accumulation_changes_nothing(micro_batch):
    whole, parts = (run(terms=2, dropout=0.3, micro_batch=size) for size in (0, micro_batch))
    whole.train(), parts.train()
    assert weights(parts) == pytest.approx(weights(whole), abs=1e-5)


def test_terms_are_added_with_their_coefficients():
    row = run(3, terms=2).train()[0]
    assert row["loss"] == pytest.approx(1.0 * row["term0"] + 2.0 * row["term1"])


@pytest.mark.parametrize("stop", [1, 5, 6, 13, 19])
def test_resume_is_exact_to_the_bit(tmp_path, stop):
    """A checkpoint at any step, within or at the end of a row or an epoch; dropout included."""
    reference = run(dropout=0.3, evaluate_every=4)
    history = reference.train()
    kept = checkpoints(tmp_path)
    first = run(dropout=0.3, evaluate_every=4, checkpoints=kept)
    first.report = lambda row: None
    take, seen = first._take, []

    def interrupted(*arguments):
        seen.append(1)
        return take(*arguments) or len(seen) == stop

    first._take = interrupted
    with pytest.raises(Interrupted):
        first.train()
    second = run(dropout=0.3, evaluate_every=4, checkpoints=kept)
    resumed = second.train()
    assert second.step == 20 and len(seen) == stop
    assert resumed == history
    assert weights(second) == weights(reference)


@pytest.mark.parametrize("request_to_stop", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_saves_at_the_step_and_asks_to_be_resumed(tmp_path, request_to_stop):
    reference = run(60)
    reference.train()
    first = run(60, checkpoints=checkpoints(tmp_path))
    take = first._take

    def signalled(*arguments):
        if first.step == 17:
            os.kill(os.getpid(), request_to_stop)
        return take(*arguments)

    first._take = signalled
    with pytest.raises(Interrupted) as caught:
        first.train()
    assert caught.value.exit_code == 75 and 17 <= first.step <= 19
    second = run(60, checkpoints=checkpoints(tmp_path))
    second.train()
    assert weights(second) == weights(reference)


def test_a_step_that_is_not_finite_changes_nothing():
    poisoned = WeightedSum({"term0": Regression(poison=(3,))}, {"term0": 1.0})
    one = run(40, model=poisoned)
    history = one.train()
    assert all(abs(value) < 1e3 for value in weights(one))
    assert sum(row.get("skipped", 0) for row in history) == sum(
        3 in one.order.draw(step).ids for step in range(40)
    )
    clean = [row["loss"] for row in history if row.get("skipped") == 0]
    assert clean[-1] < clean[0]


def test_steps_that_are_never_finite_stop_the_run():
    poisoned = WeightedSum({"term0": Regression(poison=tuple(range(50)))}, {"term0": 1.0})
    with pytest.raises(DataError, match="not finite"):
        run(40, model=poisoned, bad_steps=5).train()


def _train_in_world(world, folder: str, steps: int) -> dict:
    kept = checkpoints(folder, world)
    one = run(20, terms=2, dropout=0.3, world=world, checkpoints=kept, checkpoint_every=5)
    if steps < 20:
        take = one._take
        one._take = lambda *arguments: take(*arguments) or one.step + 1 >= steps
    try:
        history = one.train()
    except Interrupted:
        history = []
    return {"weights": weights(one), "history": history}


def spawn(size: int, folder, steps: int = 20) -> dict:
    return worlds.run(_train_in_world, size, str(folder), steps)[0]


def test_two_processes_train_the_same_model_as_one(tmp_path):
    reference = run(20, terms=2, dropout=0.3)
    history = reference.train()
    result = spawn(2, tmp_path)
    assert result["weights"] == pytest.approx(weights(reference), abs=1e-5)
    assert [row["step"] for row in result["history"]] == [row["step"] for row in history]
    for ours, theirs in zip(history, result["history"], strict=True):
        assert theirs == pytest.approx(ours, abs=1e-5)


@pytest.mark.fault("F29")
def test_the_number_of_processes_may_change_between_save_and_resume(tmp_path):
    reference = run(20, terms=2, dropout=0.3)
    reference.train()
    spawn(2, tmp_path, steps=9)
    second = run(20, terms=2, dropout=0.3, checkpoints=checkpoints(tmp_path))
    second.train()
    assert second.step == 20
    assert weights(second) == pytest.approx(weights(reference), abs=1e-5)


def test_a_loader_error_is_raised_at_its_step():
    one = run(10)
    prepare, calls = one.model.prepare, []

    def failing(samples, draw):
        calls.append(1)
        if len(calls) == 5:
            raise DataError("a broken sample")
        return prepare(samples, draw)

    one.model.prepare = failing
    with pytest.raises(DataError, match="a broken sample"):
        one.train()
    assert one.step == 4
