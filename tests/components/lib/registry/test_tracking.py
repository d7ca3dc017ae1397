import dataclasses
import json
import math
import signal
import subprocess
import sys
import time

import pytest

from components.lib.core.errors import AccessError, ConfigError, Interrupted
from components.lib.registry.tracking import connect, experiment, finish, probe, track
from components.lib.registry.tracking.outbox import BATCH, Item, Outbox
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.bad_input.test_tracking import answering


def read(context, run_id):
    return connect(context.tracking_uri).get_run(run_id)


def points(context, run_id, name):
    return connect(context.tracking_uri).get_metric_history(run_id, name)


def test_what_is_put_arrives(tracked):
    with track(tracked, "k") as tracker:
        tracker.params({"objective": {"masked_lm": {"ratio": 0.3}}, "steps": 5, "long": "x" * 9_000})
        tracker.params({f"p{number}": number for number in range(150)})  # more than MLflow takes at once
        tracker.tags({"note": "y" * 9_000})
        for step in range(3_000):
            tracker.metrics({"loss": 1 / (step + 1)}, step)
        run_id = tracker.run_id
    run = read(tracked, run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "registration"
    assert run.data.params["objective.masked_lm.ratio"] == "0.3" and run.data.params["p149"] == "149"
    assert len(run.data.params["long"]) == 6_000 and len(run.data.tags["note"]) == 8_000
    history = points(tracked, run_id, "loss")
    assert [point.step for point in history] == list(range(3_000))
    assert [point.value for point in history] == [1 / (step + 1) for step in range(3_000)]
    assert run.data.tags["kfp.pipeline_run_id"] == "run-1"
    assert run.data.tags["trunkline.preset"] == "smoke" and "trunkline.image" not in run.data.tags


def test_the_runs_of_a_pipeline_run_have_one_parent_however_often_it_is_asked_for(tracked):
    client = connect(tracked.tracking_uri)
    place = experiment(client, "smoke")
    for _ in range(2):  # an answer was lost, and the client has asked again
        client.create_run(place, tags={"trunkline.run": "run-1"})
    other = dataclasses.replace(tracked, stage="promotion", task="topics")
    for context in (tracked, other, dataclasses.replace(other, run_id="run-2")):
        with track(context, context.run_id) as tracker:
            tracker.flush()
    runs = client.search_runs([place])
    nested = {
        run.data.tags["kfp.pipeline_run_id"]: run.data.tags["mlflow.parentRunId"]
        for run in runs
        if "mlflow.parentRunId" in run.data.tags
    }
    parents = {
        run.data.tags["trunkline.run"]: run.info.run_id for run in runs if "trunkline.run" in run.data.tags
    }
    assert len(runs) == 5 and nested == parents, "three of stages in two of whole runs"
    finish(tracked)
    states = {name: read(tracked, run_id).info.status for name, run_id in parents.items()}
    assert states == {"run-1": "FINISHED", "run-2": "RUNNING"}


def test_infinities_do_not_ruin_charts(tracked):
    with track(tracked, "k") as tracker:
        tracker.metrics({"loss": math.nan}, 1)
        tracker.metrics({"loss": math.inf}, 2)
        run_id = tracker.run_id
    assert [math.isnan(point.value) for point in points(tracked, run_id, "loss")] == [True, True]
    assert read(tracked, run_id).data.tags["trunkline.infinite"] == "loss at step 2: inf"


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (Interrupted, "KILLED")]
)
def test_the_status_tells_how_it_ended(tracked, error, status):
    def work():
        with track(tracked, "k") as tracker:
            work.run_id = tracker.run_id
            if error:
                raise error("stop")

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert read(tracked, work.run_id).info.status == status


def run_once(context, key="k", fail=False):
    tracker = None
    try:
        with track(context, key) as tracker:
            tracker.metrics({"loss": 1.0}, 0)
            if fail:
                raise RuntimeError
    except RuntimeError:
        pass
    return tracker.run_id


def again(context, **changes):
    return dataclasses.replace(context, **changes)


def test_a_repeated_stage_resumes_its_own_run(tracked):
    first = run_once(tracked)
    assert run_once(tracked) == first  # the same pipeline run, again
    assert run_once(tracked, key="other") != first
    assert run_once(again(tracked, task="topics")) != first
    assert run_once(again(tracked, run_id="run-2")) != first  # finished work of another pipeline run
    killed = run_once(again(tracked, run_id="run-3"), key="long", fail=True)
    resumed = run_once(again(tracked, run_id="run-4"), key="long")
    assert resumed == killed
    assert read(tracked, resumed).data.tags["kfp.pipeline_run_id"] == "run-4"
    assert read(tracked, resumed).info.status == "FINISHED"


def test_a_resumed_run_keeps_its_parameters(tracked):
    for value in (1, 2):
        with track(tracked, "k") as tracker:
            tracker.params({"nproc": value})
            tracker.metrics({"loss": 1.0}, value)
            run_id = tracker.run_id
    assert read(tracked, run_id).data.params["nproc"] == "1"
    assert len(points(tracked, run_id, "loss")) == 2


def test_ctrl_c_in_the_midst_of_the_first_connection(tracked):
    """The import of mlflow takes seconds; half of one would be of no use to who ends the run."""
    code = (
        "from components.lib.storage.stage import Context; from components.lib.storage.store import Store\n"
        "from components.lib.registry.tracking import track; import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # what runs in the background ignores it
        "context = Context(Store(sys.argv[1]), tracking_uri=sys.argv[2], run_id='r', stage='registration')\n"
        "with track(context, 'k', deadline=60.0) as tracker:\n"
        "    print(flush=True)\n"
        "    tracker.run_id\n"
        "    input()"
    )
    words = [sys.executable, "-c", code, tracked.store.uri, tracked.tracking_uri]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(words, **pipes)
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=120)  # its input stays open: at its end another error would come first
    assert b"KeyboardInterrupt" in process.communicate()[1]
    client = connect(tracked.tracking_uri)
    places = [found.experiment_id for found in client.search_experiments()]
    [run] = client.search_runs(places, "tags.`trunkline.stage` = 'registration'")
    assert run.info.status == "KILLED"


@pytest.mark.parametrize("server", [False, True])
def test_artifacts_and_datasets(tracked, tmp_path, server, request):
    if server:
        tracked = again(tracked, tracking_uri=request.getfixturevalue("mlflow_uri"))
    with track(tracked, "artifacts") as tracker:
        tracker.text("# card", "card.md")
        tracker.dataset("corpus", "a" * 64, "s3://bucket/corpus")
        run_id = tracker.run_id
    run = read(tracked, run_id)
    assert [entry.path for entry in connect(tracked.tracking_uri).list_artifacts(run_id)] == ["card.md"]
    data = run.inputs.dataset_inputs[0].dataset
    assert (data.name, data.digest) == ("corpus", "a" * 36)
    assert json.loads(data.source) == {"uri": "s3://bucket/corpus"}
    if not server:
        assert (tmp_path / "runs" / "mlartifacts" / run_id / "artifacts" / "card.md").read_text() == "# card"


def test_a_server_that_refuses_us_is_told_once_and_stops_nobody(tmp_path, capfd):
    with answering(401, "") as uri:
        context = Context(Store(str(tmp_path)), tracking_uri=uri, stage="pretraining")
        with track(context, "k") as tracker:
            for step in range(3 * BATCH):
                tracker.metrics({"loss": 1.0}, step)
            with pytest.raises(AccessError):
                tracker.flush()
    said = capfd.readouterr().out.splitlines()
    assert said == [f"tracking: {3 * BATCH + 1} items did not reach {uri}: MLflow refused the request"]


def test_without_a_server_nothing_happens(tmp_path):
    with track(Context(Store(str(tmp_path))), "k") as tracker:
        tracker.params({"a": 1})
        tracker.metrics({"loss": 1.0}, 0)
        tracker.history([{"step": 1, "loss": 1.0}])
        tracker.text("", "none")
        tracker.dataset("corpus", "a", "b")
        assert tracker.run_id == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("pause", "arrive"), [(0.05, True), (5.0, False)])
def test_the_end_waits_for_progress_only(pause, arrive):
    outbox = Outbox(lambda batch: time.sleep(pause))
    outbox.put(Item("metric", "loss", 1.0, step, step) for step in range(20 * BATCH))
    start = time.monotonic()
    assert (outbox.close(0.5) == 0) == arrive
    assert (time.monotonic() - start > 0.5) and (time.monotonic() - start < 60)


def test_what_is_refused_holds_up_nothing_else():
    arrived = []

    def send(batch):
        if any(item.name == "bad" for item in batch):
            raise ConfigError("not a metric")
        arrived.extend(batch)

    outbox = Outbox(send)
    outbox.put(Item("metric", "bad" if step == 37 else "good", 0.0, 0, step) for step in range(100))
    assert outbox.close(20.0) == 0
    assert [item.step for item in outbox.refused] == [37]
    assert [item.step for item in arrived] == [step for step in range(100) if step != 37]


def test_starting_is_cheap():
    program = (
        "import sys, components.lib.registry.tracking, components.lib.registry.registered_models; "
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_probing_passes_what_works_and_makes_nothing(mlflow_uri, sqlite_uri, tmp_path):
    probe(mlflow_uri)
    probe(sqlite_uri)
    probe(f"sqlite:///{tmp_path}/new/folder/mlflow.db")
    assert not (tmp_path / "new").exists()
