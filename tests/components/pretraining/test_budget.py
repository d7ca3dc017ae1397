"""A budget in minutes: measured once, kept, and resumed to the bytes of the same number of steps."""

import time
from dataclasses import replace

import pytest

from components.lib.storage import artifacts
from tests.faults.lab import TINY, Lab, kill_all
from tests.made import corpora

BUDGET = replace(TINY, minutes=0.08, steps=7, precision="fp32", checkpoint_every=2)  # 5 s; `steps` has no say


def told(log):
    return [line for line in log.splitlines() if "minutes" in line]


@pytest.mark.long
def test_a_killed_run_keeps_its_number_of_steps_and_ends_like_that_number(tmp_path):
    corpora.topic_tokens(tmp_path)
    lab = Lab(tmp_path / "lab", tmp_path, BUDGET)
    process = lab.start()
    lab.until(process, lab.commits)
    kill_all(process)
    first, start = lab.log(), time.monotonic()
    done = lab.run()
    assert time.monotonic() - start < 60  # minutes are minutes, not a number of steps of another machine
    assert done.code == 0 and told(first) and told(first) == told(done.log)
    assert "resumed after step" in done.log
    manifest = artifacts.read(lab.trunk)
    steps = manifest.facts["steps"]
    assert 0 < manifest.measured["cpu_seconds"] < 600
    assert f"pretraining.steps={steps} " in told(first)[0] and steps > 7
    plain = Lab(tmp_path / "plain", tmp_path, replace(BUDGET, minutes=0.0, steps=steps))
    assert plain.run().code == 0 and lab.weights() == plain.weights()
