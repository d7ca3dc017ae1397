"""The loop: what is trained does not depend on how it is computed, nor on where it was interrupted."""

import os
import signal

import pytest

from components.lib.core.errors import DataError, Interrupted
from tests.components.lib.engine.toys import close, run, state, stopped

DROPS = {"dropout": 0.3}


def test_training_learns():
    history = run(200).train()
    losses = [row["loss"] for row in history if "loss" in row]
    assert losses[-1] < 0.1 * losses[0]
    assert history[-1]["validation/loss"] < 0.2 * losses[0]


def test_two_runs_are_equal_to_the_bit():
    first, second = run(model=DROPS), run(model=DROPS)
    assert first.train() == second.train() and state(first) == state(second)


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_accumulation_changes_nothing(micro_batch):
    whole, parts = (run(terms=2, model=DROPS, micro_batch=size) for size in (0, micro_batch))
    whole.train(), parts.train()
    close(state(whole), state(parts), 1e-5)


def test_terms_are_added_with_their_coefficients():
    row = run(3, terms=2).train()[0]
    assert row["loss"] == pytest.approx(1.0 * row["term0"] + 2.0 * row["term1"])


@pytest.mark.parametrize("stop", [1, 5, 6, 13, 19])
def test_resume_is_exact_to_the_bit(tmp_path, stop):
    """A checkpoint at any step, within or at the end of a row or an epoch; dropout included."""
    reference, first, second = (
        run(model=DROPS, evaluate_every=4, folder=folder) for folder in ("", tmp_path, tmp_path)
    )
    history = reference.train()
    with pytest.raises(Interrupted):
        stopped(first, stop).train()
    assert first.step == stop
    assert second.train() == history and state(second) == state(reference)


@pytest.mark.parametrize("request_to_stop", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_saves_at_the_step_and_asks_to_be_resumed(tmp_path, request_to_stop):
    reference, first, second = (run(60, folder=folder) for folder in ("", tmp_path, tmp_path))
    reference.train()
    take = first._take

    def signalled(*arguments):
        if first.step == 17:
            os.kill(os.getpid(), request_to_stop)
        return take(*arguments)

    first._take = signalled
    with pytest.raises(Interrupted) as caught:
        first.train()
    assert caught.value.exit_code == 75 and 17 <= first.step <= 19
    second.train()
    assert state(second) == state(reference)


def test_a_loader_error_is_raised_at_its_step():
    one, calls = run(10), []
    prepare = one.model.prepare

    def failing(samples, draw):
        calls.append(1)
        if len(calls) == 5:
            raise DataError("a broken sample")
        return prepare(samples, draw)

    one.model.prepare = failing
    with pytest.raises(DataError, match="a broken sample"):
        one.train()
    assert one.step == 4
