"""F17, F18: an MLflow server that is down, hangs, loses answers, comes back; each point arrives once (M)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from components.lib.registry.tracking import conclude, connect, track
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.components import corpora
from tests.faults.lab import TINY, Lab
from tests.faults.proxy import before

STEPS = 40
PROGRAM = """
import os, signal, sys
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.lib.registry.tracking import track
context = Context(Store(sys.argv[1]), tracking_uri=sys.argv[2], stage="killed", run_id="r")
with track(context, "k") as tracker:
    for step in range(40):
        tracker.metrics({"loss": 1 / (step + 1)}, step)
    if sys.argv[3] == "sent":
        tracker.run_id
        while len(tracker._outbox.take()):
            pass
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def proxy(mlflow_uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr("components.lib.registry.tracking.outbox.BACKOFF", (0.1,))
    monkeypatch.setattr("components.lib.registry.tracking.outbox.INTERVAL", 0.1)
    with before(mlflow_uri) as proxy:
        yield proxy


@pytest.fixture
def context(proxy, tmp_path, request):
    store = Store(str(tmp_path / "store"), cache=tmp_path / "cache")
    return Context(store, tracking_uri=proxy.url, stage=request.node.name[:40], run_id="r",
                   details={"preset": "faults"})  # fmt: skip


def put(tracker, steps=range(STEPS)):
    for step in steps:
        tracker.metrics({"loss": 1 / (step + 1)}, step)


def assert_whole(server, context, status="FINISHED"):
    """One run, every point once."""
    client = connect(server)
    experiment = client.get_experiment_by_name("faults").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`trunkline.stage` = '{context.stage}'")
    points = client.get_metric_history(run.info.run_id, "loss")
    assert sorted(point.step for point in points) == list(range(STEPS))
    assert {point.value for point in points} == {1 / (step + 1) for step in range(STEPS)}
    assert run.info.status == status


OUTAGES = {
    "down": {"action": "reset", "times": 6},
    "ill": {"action": "status", "times": 6},
    "hanging": {"action": "hang", "times": 2},
    "answers lost": {"action": "lost", "method": "POST", "every": 2, "times": 6},
}


@pytest.mark.fault("F17", "F18")
@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_delays_and_loses_and_doubles_nothing(proxy, mlflow_uri, context, outage):
    fault = proxy.inject(**OUTAGES[outage])
    longest = 0.0
    with track(context, "k", deadline=60.0) as tracker:
        for step in range(STEPS):
            start = time.perf_counter()
            put(tracker, [step])
            longest = max(longest, time.perf_counter() - start)
    assert fault.struck >= 2 and longest < 1.0  # an answer takes longer: nobody waited for one
    assert_whole(mlflow_uri, context)


@pytest.mark.fault("F17")
def test_an_outage_in_the_middle(proxy, mlflow_uri, context):
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker, range(10))
        assert tracker.run_id
        fault = proxy.inject("reset")
        put(tracker, range(10, 30))
        while fault.struck < 4:
            time.sleep(0.01)
        fault.times = 0
        put(tracker, range(30, STEPS))
    assert_whole(mlflow_uri, context)


@pytest.mark.fault("F17")
def test_a_server_that_stays_down_is_told_and_gets_all_the_next_time(proxy, mlflow_uri, context, capfd):
    fault = proxy.inject("reset")
    with track(context, "k", deadline=1.0) as tracker:
        put(tracker)
    assert "items did not reach" in capfd.readouterr().out and fault.struck
    fault.times = 0
    with track(context, "k", deadline=60.0):
        pass
    assert_whole(mlflow_uri, context)
    assert not list((context.store.cache / "outbox").iterdir())


@pytest.mark.fault("F17")
def test_a_later_stage_on_another_machine_sends_what_was_kept(proxy, mlflow_uri, context, tmp_path):
    fault = proxy.inject("reset")
    with track(context, "k", deadline=1.0) as tracker:
        put(tracker)
    assert len(list(context.store.objects.keys("unsent/"))) == 1 and fault.struck
    fault.times = 0
    elsewhere = Store(context.store.uri, cache=tmp_path / "elsewhere")
    with track(replace(context, store=elsewhere, stage="later"), "other", deadline=60.0):
        pass
    assert_whole(mlflow_uri, context)
    assert not list(context.store.objects.keys("unsent/"))


@pytest.mark.fault("F17")
@pytest.mark.parametrize("when", ["unsent", "sent"])
def test_a_killed_process_leaves_its_points_to_the_next(proxy, mlflow_uri, tmp_path, when):
    fault = proxy.inject("reset", times=10**9 if when == "unsent" else 0)
    environment = {**os.environ, "TRUNKLINE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "store"), proxy.url, when]
    assert subprocess.run(command, env=environment, check=False).returncode == -9
    fault.times = 0
    store = Store(str(tmp_path / "store"), cache=tmp_path / "cache")
    context = Context(store, tracking_uri=proxy.url, stage="killed", run_id=when)
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker, range(STEPS - 5, STEPS))  # what is done again after the last checkpoint
    client = connect(mlflow_uri)
    points = client.get_metric_history(tracker.run_id, "loss")
    assert sorted(point.step for point in points) == list(range(STEPS))
    client.delete_run(tracker.run_id)


@pytest.mark.fault("F17")
def test_a_curve_from_a_checkpoint_makes_good_a_lost_machine(proxy, mlflow_uri, context):
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker, range(0, STEPS, 3))
    rows = [{"step": step, "loss": 1 / (step + 1)} for step in range(STEPS)]
    with track(context, "k", deadline=60.0) as tracker:
        tracker.history(rows)
        tracker.history(rows)
    assert_whole(mlflow_uri, context)


def test_the_run_of_a_killed_process_can_be_marked(proxy, mlflow_uri, context):
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker)
        tracker.client.update_run(tracker.run_id, status="RUNNING")
        tracker.close = lambda *_: tracker._outbox.close(60.0)  # as if it had been killed
    conclude(context, "k", "KILLED")
    assert_whole(mlflow_uri, context, "KILLED")


@pytest.mark.long
@pytest.mark.fault("F17", "F01")
def test_training_survives_its_server_and_its_leader(mlflow_uri, proxy, tmp_path):
    """M: what MLflow has in the end is the trunk's history, though rank 0 was killed and MLflow was down."""
    corpora.tokens(tmp_path / "tokens")
    lab = Lab(tmp_path / "lab", tmp_path / "tokens", replace(TINY, steps=30))
    outages = [proxy.inject("reset", every=3), proxy.inject("lost", method="POST", every=5)]
    lab.arm("training.step", "kill at=17 rank=0")
    done = lab.run(tracking_uri=proxy.url)
    assert done.code == 0, done.log[-3000:]
    assert all(outage.struck for outage in outages) and lab.fired("training.step")
    client = connect(mlflow_uri)
    experiment = client.get_experiment_by_name("trunkline").experiment_id
    (run,) = client.search_runs([experiment], "tags.`trunkline.stage` = 'pretraining'")
    assert run.info.status == "FINISHED"
    expected = {(row["step"], row["loss"]) for row in lab.history() if "loss" in row}
    points = client.get_metric_history(run.info.run_id, "loss")
    assert len(points) == len(expected) == 30
    assert {(point.step, point.value) for point in points} == expected
