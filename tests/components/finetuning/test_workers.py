"""The runs of a study in processes of their own: they end with it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

STUDY = """
import os, sys, time
from components.finetuning.workers import side_by_side
from components.lib.core import hardware, signals

def work(_, run):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    os.environ[hardware.CPUS] = "2"
    with signals.obeyed(), side_by_side(int, 30) as each:
        list(each(work, range(30)))
"""


@pytest.mark.fault("F05")
def test_a_study_that_is_told_to_stop_does_not_wait_for_its_runs(tmp_path):
    (tmp_path / "study.py").write_text(STUDY)
    study = subprocess.Popen(
        [sys.executable, "study.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = [int(study.stdout.readline()) for _ in range(2)]
    start = time.monotonic()
    study.send_signal(signal.SIGTERM)
    _, said = study.communicate(timeout=60)
    assert time.monotonic() - start < 60 and "told to stop" in said
    assert not any(map(psutil.pid_exists, workers))
