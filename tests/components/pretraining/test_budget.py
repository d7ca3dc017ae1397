"""A budget in minutes: measured once, kept, and resumed to the bytes of the same number of steps."""

import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from components.lib.storage import artifacts
from tests.components.pretraining.test_run import TINY, arguments, weights
from tests.made import corpora

BUDGET = replace(TINY, minutes=0.08, steps=7)  # 5 seconds; `steps` has no say


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    corpora.topic_tokens(folder)
    return folder


def test_a_killed_run_keeps_its_number_of_steps_and_ends_like_that_number(prepared, tmp_path):
    store, config = tmp_path / "store", replace(BUDGET, nproc=2, precision="fp32", checkpoint_every=2)
    process = subprocess.Popen(arguments(prepared, store, config), stdout=subprocess.PIPE, text=True)
    while not list(store.glob("checkpoints/**/*.commit.json")):
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    first = process.communicate()[0]
    start = time.monotonic()
    second = subprocess.run(
        arguments(prepared, store, config), check=True, capture_output=True, text=True
    ).stdout
    assert time.monotonic() - start < 60  # minutes are minutes, not a number of steps of another machine
    told = [line for line in first.splitlines() if "minutes" in line]
    assert told and told == [line for line in second.splitlines() if "minutes" in line]
    assert "resumed after step" in second
    manifest = artifacts.read(store.with_suffix(".trunk.json"))
    steps = manifest.facts["steps"]
    assert 0 < manifest.measured["cpu_seconds"] < 600
    assert f"pretraining.steps={steps} " in told[0] and steps > 7
    plain = tmp_path / "plain"
    subprocess.run(arguments(prepared, plain, replace(config, minutes=0.0, steps=steps)), check=True)
    assert weights(store) == weights(plain)
