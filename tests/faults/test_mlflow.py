"""F17, F18: an MLflow server that is down, hangs, loses answers, comes back; each point arrives once (M)."""

import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from components.lib.core.errors import ServiceError
from components.lib.registry.registered_models import Registry
from components.lib.registry.tracking import conclude, connect, track
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.registration.config import Config
from components.registration.run import run as register
from tests import models
from tests.fakes.mlflow_server import serving
from tests.faults.lab import ALONE, TINY, Lab
from tests.faults.proxy import before
from tests.made import corpora

STEPS = 40
PROGRAM = """
import os, signal, sys
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.lib.registry.tracking import track
context = Context(Store(sys.argv[1]), tracking_uri=sys.argv[2], stage="killed", run_id="r")
with track(context, "k") as tracker:
    for step in range(20):
        tracker.metrics({"loss": 1 / (step + 1)}, step)
    if sys.argv[3] == "sent":
        tracker.flush()
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
    return Context(
        store, tracking_uri=proxy.url, stage=request.node.name[:40], run_id="r", details={"preset": "faults"}
    )


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
    "down in the middle": {"action": "reset", "path": "log-batch", "times": 4},
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


ROWS = [{"step": step, "loss": 1 / (step + 1)} for step in range(STEPS)]


@pytest.mark.fault("F17")
@pytest.mark.parametrize("when", ["unsent", "sent"])
def test_the_curve_of_a_checkpoint_makes_good_what_a_killed_process_lost(proxy, mlflow_uri, tmp_path, when):
    fault = proxy.inject("reset", times=10**9 if when == "unsent" else 0)
    store = Store(str(tmp_path / "store"))
    command = [sys.executable, "-c", PROGRAM, store.uri, proxy.url, when]
    assert subprocess.run(command, check=False).returncode == -9
    fault.times = 0
    context = Context(
        store, tracking_uri=proxy.url, stage="killed", run_id=when, details={"preset": "faults"}
    )
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker, range(STEPS - 5, STEPS))  # what is done again after the last checkpoint
        tracker.history(ROWS)
        tracker.history(ROWS)
    assert_whole(mlflow_uri, context)
    connect(mlflow_uri).delete_run(tracker.run_id)


def everything(server, context):
    """Curves, settings and ends of all runs of pretraining and registration."""
    client = connect(server)
    experiment = client.get_experiment_by_name(context.details["preset"]).experiment_id
    return {
        run.data.tags["trunkline.stage"]: (
            {
                name: sorted((p.step, p.value) for p in client.get_metric_history(run.info.run_id, name))
                for name in run.data.metrics
            },
            run.data.params,
            run.info.status,
            run.info.end_time,
            run.data.tags["kfp.pipeline_run_id"],
        )
        for run in client.search_runs([experiment])
        if "trunkline.stage" in run.data.tags  # else: of the whole pipeline run
    }


@pytest.mark.fault("F17")
@pytest.mark.parametrize("down", ["never", "from the middle", "always"])
def test_registration_sends_what_pretraining_could_not(proxy, mlflow_uri, tmp_path, capfd, down):
    """Of a trunk that was made elsewhere, by another pipeline run, while MLflow was away."""
    details = {"preset": f"down {down}"}
    context = Context(Store(str(tmp_path / "store")), tracking_uri=proxy.url, run_id="r", details=details)
    source = models.trunk(context.store, name=down)  # each has a run of its own, on the one server
    lines = context.store.open(source, "history.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    fault = proxy.inject("reset", times=10**9 if down == "always" else 0)
    with track(replace(context, stage="pretraining"), source.key.digest, deadline=60.0) as tracker:
        tracker.params({**source.key.config, "parameters": source.facts["parameters"]})
        tracker.history(rows[:3])
        if down == "from the middle":
            tracker.flush()
            fault.times = 10**9
        tracker.history(rows)  # with a dead server, too, training goes on to its end
        tracker.deadline = 60.0 if down == "never" else 1.0
    assert ("items did not reach" in capfd.readouterr().out) == (down != "never")
    for thread in [one for one in threading.enumerate() if one.name == "tracking"]:
        thread.join(60)  # a process that ends ends it, in the midst of a request too
    fault.times = 0
    before = everything(mlflow_uri, context) if down != "always" else {}
    source.write(tmp_path / "trunk.json")
    for number in range(2):
        config, outputs = Config(f"sent {down} {number}"), {"registered": tmp_path / "registered.json"}
        later = replace(context, run_id="another", stage="registration")
        register(config, later, trunk=tmp_path / "trunk.json", **outputs)
    found = everything(mlflow_uri, context)
    curves, params, status, _, _ = found["pretraining"]
    assert curves["loss"] == [(step, 3.0 / step) for step in range(1, 6)] == found["registration"][0]["loss"]
    assert curves["validation/loss"] == [(5, 0.7)] and status == "FINISHED"
    assert (params["seed"], params["parameters"]) == ("0", "12345")
    if down == "never":
        assert found["pretraining"] == before["pretraining"]


@pytest.mark.long
@pytest.mark.fault("F17")
def test_registration_outlasts_a_server_that_is_made_anew(tmp_path, empty_database, monkeypatch):
    """Seen on a cluster: MLflow's one pod was away for 15 s while `register` ran."""
    monkeypatch.setenv("TRUNKLINE_PATIENCE", "120")
    shutil.copyfile(empty_database, tmp_path / "server.db")
    context = Context(Store(str(tmp_path / "store")), run_id="r", stage="registration")
    models.trunk(context.store).write(tmp_path / "trunk.json")
    places = {"trunk": tmp_path / "trunk.json", "registered": tmp_path / "registered.json"}
    with serving(tmp_path) as uri:
        port = int(uri.rpartition(":")[2])
    done = threading.Thread(
        target=register, args=(Config("anew"), replace(context, tracking_uri=uri)), kwargs=places
    )
    done.start()
    time.sleep(8)
    assert done.is_alive()
    with serving(tmp_path, port=port):
        done.join(120)
        assert Registry(uri).find("anew", "challenger")


@pytest.mark.fault("F17")
def test_registration_is_tried_again_inside_the_stage(proxy, tmp_path, capsys):
    context = Context(
        Store(str(tmp_path / "store")), tracking_uri=proxy.url, run_id="r", stage="registration"
    )
    models.trunk(context.store).write(tmp_path / "trunk.json")
    fault = proxy.inject("reset", times=6)
    register(Config("again"), context, trunk=tmp_path / "trunk.json", registered=tmp_path / "registered.json")
    assert fault.struck == 6 and "; again in" in capsys.readouterr().out
    assert Registry(proxy.url).find("again", "challenger") and len(context.outputs) == 1


@pytest.mark.fault("F17")
def test_without_its_curves_nothing_is_registered(proxy, tmp_path, monkeypatch):
    context = Context(
        Store(str(tmp_path / "store")), tracking_uri=proxy.url, run_id="r", stage="registration"
    )
    models.trunk(context.store).write(tmp_path / "trunk.json")
    fault = proxy.inject("status", path="log-batch")
    places = {"trunk": tmp_path / "trunk.json", "registered": tmp_path / "registered.json"}
    with pytest.raises(ServiceError), monkeypatch.context() as impatient:
        impatient.setattr("components.lib.registry.tracking.run.DEADLINE", 0.5)
        impatient.setenv("TRUNKLINE_PATIENCE", "0")
        register(Config("curveless"), context, **places)
    fault.times = 0
    assert Registry(proxy.url).find("curveless", "challenger") is None
    register(Config("curveless"), context, **places)
    assert Registry(proxy.url).find("curveless", "challenger")


def test_the_run_of_a_killed_process_can_be_marked(proxy, mlflow_uri, context):
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker)
        tracker.client.update_run(tracker.run_id, status="RUNNING")
        tracker.close = lambda *_: tracker.flush()  # as if it had been killed
    conclude(context, "k", "KILLED")
    assert_whole(mlflow_uri, context, "KILLED")


@pytest.mark.fault("F17")
def test_a_start_whose_answer_is_lost_leaves_one_run(proxy, mlflow_uri, context):
    """mlflow asks again, and the run that is too many cannot be deleted at once."""
    lost = proxy.inject("lost", method="POST", path="runs/create", times=1)
    stuck = proxy.inject("reset", path="runs/delete", times=3)  # as often as mlflow tries
    with track(context, "k", deadline=60.0) as tracker:
        put(tracker)
    assert (lost.struck, stuck.struck) == (1, 3)
    assert_whole(mlflow_uri, context)


@pytest.mark.long
@pytest.mark.fault("F17", "F01")
def test_training_survives_its_server_and_its_leader(mlflow_uri, proxy, tmp_path):
    """M: what MLflow has in the end is the trunk's history, though rank 0 was killed and MLflow was down."""
    corpora.topic_tokens(tmp_path / "tokens")
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


@pytest.mark.long
@pytest.mark.fault("F17")
def test_training_needs_no_server(mlflow_uri, proxy, prepared, reference, tmp_path):
    lab, outage = Lab(tmp_path / "lab", prepared, ALONE), proxy.inject("hang")
    done = lab.run(tracking_uri=proxy.url)
    lab.assert_whole(reference, done)
    assert outage.struck and "items did not reach" in done.log
