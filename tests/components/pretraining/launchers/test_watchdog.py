"""What a machine of a TrainJob does when it cannot begin, and when it is told to stop."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from components.lib.core.errors import Interrupted, MissingError, Orphaned, revived
from components.lib.storage.artifacts import Key
from components.lib.storage.lease import Lease
from components.lib.storage.store import Store
from components.pretraining import watchdog
from components.pretraining.job import Job
from components.pretraining.watchdog import Watchdog
from tests.fakes.mlflow_server import free_port


def test_without_a_job_the_exit_code_and_the_error_say_so(tmp_path, capfd):
    assert watchdog.main(str(tmp_path)) == MissingError.exit_code
    error = revived(json.loads((tmp_path / "errors" / "0.json").read_text()))
    assert isinstance(error, MissingError) and "job.json" in error.where
    assert "pretraining failed" in capfd.readouterr().err


def test_a_store_that_cannot_be_used_still_gives_the_exit_code(capfd):
    assert watchdog.main("gs://bucket") == 78
    assert "could not be handed" in capfd.readouterr().err


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A machine that waits for rank 0 in the rendezvous of torchrun; its place, and the lease of its job."""
    monkeypatch.setenv("TRUNKLINE_LEASE_SECONDS", "0.2")
    key = Key("pretraining", 1, {"steps": 3})
    place = tmp_path / "launches" / key.digest
    settings = {"hang_seconds": 60, "launch": {"orphan_minutes": 0.02}}
    Job(str(tmp_path), key, "tokens", settings, {}).write(str(place))
    nodes = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1", "PET_NODE_RANK": "1"}
    master = {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "components.pretraining.watchdog", str(place)]
    process = subprocess.Popen(command, env={**os.environ, **nodes, **master})
    while not psutil.Process(process.pid).children():
        time.sleep(0.02)
    yield process, place, Lease(Store(str(tmp_path)).objects, f"launches/{key.digest}", "a-run")
    process.kill()
    process.wait()


def test_a_machine_that_waits_for_rank_0_in_the_rendezvous_hears_sigterm_at_once(alone):
    process, place, _ = alone
    time.sleep(3)  # it has imported torch
    begin = time.monotonic()
    process.terminate()
    assert process.wait(20) == Interrupted.exit_code and time.monotonic() - begin < 10
    assert json.loads((place / "errors" / "1.json").read_text())["kind"] == "Interrupted"


def test_machines_that_nobody_follows_any_more_stop_for_good(alone):
    process, place, lease = alone
    assert lease.take()
    with lease.kept():
        time.sleep(4)  # longer than it may be silent
        assert process.poll() is None
    assert process.wait(20) == Orphaned.exit_code
    assert json.loads((place / "errors" / "1.json").read_text())["kind"] == "Orphaned"


@pytest.mark.parametrize("begun", [False, True], ids=["before the first step", "after a step"])
def test_until_the_first_step_there_is_nothing_to_save_and_nobody_is_waited_for(begun, tmp_path, capfd):
    flags = ["--standalone", "--nproc-per-node=1", "-m", "tests.components.pretraining.launchers.deaf"]
    runs = Watchdog(str(tmp_path), flags + ["--begun"] * begun, 60)
    others = set(psutil.Process().children(recursive=True))
    ended = []

    def tell():
        while "deaf" not in capfd.readouterr().err:
            time.sleep(0.05)
        time.sleep(0.3)
        ended.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    with pytest.raises(Interrupted):
        runs.run()
    teller.join()
    assert time.monotonic() - ended[0] < 15
    assert runs.reached == (1 if begun else -1)
    assert not set(psutil.Process().children(recursive=True)) - others
