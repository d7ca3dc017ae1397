"""How runs end on a cluster: terminated, killed, out of memory, deleted, without an image; after a Retry."""

import copy
import json

import pytest

from components.closing.config import Config
from components.closing.run import run
from components.lib.core.errors import DataError
from components.lib.kubernetes.manifest import Place, trainjob
from components.lib.registry.tracking import connect, track
from components.lib.storage.lease import Lease
from components.lib.storage.stage import Context, stage
from tests.components.closing.test_run import exit_record, go, index, settings
from tests.fakes import kubernetes_api
from tests.fakes import kubernetes_rights as rights
from tests.fakes.recorded_trainjob import RECORDINGS
from tests.pages import read

KEY = "0" * 32


@pytest.fixture
def api(tmp_path, monkeypatch):
    with kubernetes_api.serving(tmp_path) as (server, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        yield server


def workflow(api, run_id="r1", *, terminated=False, nodes=()):
    body = {"metadata": {"labels": {"pipeline/runid": run_id}}, "spec": {}, "status": {"nodes": {}}}
    if terminated:
        body["spec"]["activeDeadlineSeconds"] = 0
    for number, (name, phase, message) in enumerate(nodes):
        node = {"type": "Pod", "name": name, "phase": phase, "message": message, "id": f"w-{number}"}
        body["status"]["nodes"][node["id"]] = {**node, "finishedAt": f"2026-11-28T12:00:0{number}Z"}
    api.put("workflows", f"training-{run_id}", body)


def pod(api, stage_name, status, *, run_id="r1", limit="2Gi", **metadata):
    """A step's pod; a recorded status is one of a TrainJob, whose container is called `node`."""
    status = copy.deepcopy(status)
    for container in status.setdefault("containerStatuses", []):
        container |= {"name": "main", "image": "x", "imageID": "x"}
    labels = {
        "workflows.argoproj.io/workflow": f"training-{run_id}",
        "app.kubernetes.io/component": stage_name,
    }
    containers = [{"name": "wait"}, {"name": "main", "resources": {"limits": {"memory": limit}}}]
    body = {"metadata": {"labels": labels, **metadata}, "spec": {"containers": containers}, "status": status}
    api.put("pods", f"training-{run_id}-{stage_name}", body)


def made(api, run_id, key=KEY):
    place = Place("team", "torch", "TrainingRuntime", "", 1, 1, {}, "", 0, {}, {}, {})
    notes = {"trunkline.key": key, "trunkline.run": run_id}
    body = trainjob(f"trunkline-{key[:20]}", ["x"], place, notes)
    body["spec"]["suspend"] = True  # no process of this machine
    assert api.create(body)[0] == 201
    return body["metadata"]["name"]


def gone(api, name):
    return name not in api.jobs or "deletionTimestamp" in api.jobs[name]["metadata"]


def recorded(case, reason):
    """The status of the recorded pod whose container has this reason."""
    for seen in RECORDINGS[case]["Pod"]:
        for container in seen["status"]["containerStatuses"]:
            if any(state.get("reason") == reason for state in container["state"].values()):
                return seen["status"]
    raise AssertionError((case, reason))


@pytest.mark.parametrize("state", ["RUNNING", "FAILED"])
def test_a_terminated_run_is_cancelled_and_its_trainjob_goes(store, api, state):
    """As recorded (`terminated`): pretraining is killed unheard, and the exit handler is told RUNNING."""
    workflow(api, terminated=True)
    name, other = made(api, "r1"), made(api, "r2", "1" * 32)
    Lease(store.objects, f"launches/{KEY}", "r1").take()
    go(store, "r1", stages=("preflight", "ingestion", "tokenization"))
    killed = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 143}}}]}
    pod(api, "pretraining", killed)
    run(Config(store.uri, "r1", state))
    record = exit_record(store, "r1")
    assert record["status"] == "cancelled" and record["failure"] is None and record["state"] == state
    assert gone(api, name) and not gone(api, other)
    assert not Lease(store.objects, f"launches/{KEY}").alive(60)
    assert "cancelled" in read(index(store)).texts
    assert {(act.verb, act.resource) for act in api.acts} >= {("list", "workflows"), ("delete", "trainjobs")}


@pytest.mark.parametrize(
    ("holder", "waiting", "goes"), [("r1", "", True), ("r2", "", False), ("r1", "r2", False), ("", "", True)]
)
def test_a_trainjob_that_another_live_run_wants_goes_on(store, api, monkeypatch, holder, waiting, goes):
    monkeypatch.setenv("TRUNKLINE_LEASE_SECONDS", "60")
    workflow(api, terminated=True)
    name, lease = made(api, "r1"), f"launches/{KEY}"
    if holder:
        Lease(store.objects, lease, holder).take()
    if waiting:
        looks = []

        def look():
            looks.append(1)
            if len(looks) == 2:
                run(Config(store.uri, "r1", "RUNNING"))
            return len(looks) > 2

        monkeypatch.setattr("components.lib.storage.lease.POLLS", 1e9)
        assert Lease(store.objects, lease, waiting).wait(look, lambda owner: None), "it takes over at once"
    else:
        run(Config(store.uri, "r1", "RUNNING"))
    assert gone(api, name) == goes


DELETED = ("training-x.run.pretrain.executor(0)", "Error", "pod deleted")


@pytest.mark.parametrize(
    ("stage_name", "status", "nodes", "what", "found"),
    [
        ("pretraining", recorded("out-of-memory", "OOMKilled"), (), "OOMKilled", "its limit is 2Gi"),
        (
            "ingestion",
            recorded("image-cannot-be-pulled", "ImagePullBackOff"),
            (),
            "the image of a step cannot be pulled",
            "nowhere.example/x:1",
        ),
        (
            "ingestion",
            recorded("secret-missing", "CreateContainerConfigError"),
            (),
            "cannot be made",
            'secret "nosuch" not found',
        ),
        (
            "evaluation",
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            (),
            "Evicted",
            "low on resource: memory",
        ),
        (
            "finetuning",
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]},
            (),
            "SIGKILL",
            "137; its limit of memory is 2Gi",
        ),
        (
            "tokenization",
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]},
            (),
            "exit code 3",
            "its limit of memory is 2Gi",
        ),
        ("pretraining", None, (DELETED,), "deleted, or its node was lost", "pod deleted"),
    ],
)
def test_a_step_that_died_is_named_with_its_cause(store, api, stage_name, status, nodes, what, found):
    workflow(api, nodes=nodes)
    go(store, "r1", stages=("preflight",))
    if status is not None:
        pod(api, stage_name, status)
    run(Config(store.uri, "r1", "FAILED", "Task run failed."))
    failure = exit_record(store, "r1")["failure"]
    assert failure["stage"] == failure["error"]["stage"] == stage_name
    assert what in failure["error"]["what"] and found in failure["error"]["found"] and failure["error"]["fix"]


def test_what_a_stage_noted_is_believed_before_pods(store, api):
    workflow(api)
    pod(
        api,
        "ingestion",
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]},
    )
    with pytest.raises(SystemExit), stage("ingestion", settings(store, "r1")):
        raise DataError("no text")
    run(Config(store.uri, "r1", "FAILED"))
    assert exit_record(store, "r1")["failure"]["error"]["kind"] == "DataError"


@pytest.mark.parametrize("taken", [("list", "argoproj.io", "workflows"), ("list", "", "pods")])
def test_without_rights_the_end_is_recorded_all_the_same(store, api, taken, capsys):
    workflow(api)
    api.rules = rights.without(api.rules, rights.Act(*taken))
    run(Config(store.uri, "r1", "FAILED"))
    assert "killed or never started" in exit_record(store, "r1")["failure"]["error"]["what"]
    assert "Kubernetes does not say" in capsys.readouterr().out


@pytest.mark.parametrize("server", ["rest", "sqlite"])
@pytest.mark.parametrize(("terminated", "status"), [(True, "KILLED"), (False, "FAILED")])
def test_mlflow_runs_of_killed_processes_are_ended(store, api, server, terminated, status, request):
    uri = request.getfixturevalue("mlflow_uri" if server == "rest" else "sqlite_uri")
    name = f"end-{server}-{status}"
    mine, other = (
        Context(store, uri, run_id, "pretraining", details={"preset": name}) for run_id in (name, f"{name}-2")
    )
    left = []
    for context in (mine, other):
        with track(context, context.run_id) as tracker:
            left.append(tracker.run_id)
            tracker.client.set_terminated = lambda *_: None  # it is killed before it can say so
    client = connect(uri)
    for run_id in left:
        client.update_run(run_id, status="RUNNING")
    workflow(api, name, terminated=terminated)
    connection = settings(store, name)
    connection["run"]["tracking_uri"] = uri
    with stage("preflight", connection):
        pass
    run(Config(store.uri, name, "RUNNING"))
    assert [client.get_run(run_id).info.status for run_id in left] == [status, "RUNNING"]
    assert client.get_run(left[0]).info.end_time


def test_a_retry_that_succeeds_is_recorded_though_closing_cannot_run_again(store):
    """As recorded (`retried-after-failure`): FAILED, RUNNING, SUCCEEDED; the exit handler runs but once."""
    go(store, "r1", stages=("preflight", "ingestion", "tokenization"))
    with pytest.raises(SystemExit), stage("pretraining", settings(store, "r1")):
        raise DataError("bad", where="a")
    run(Config(store.uri, "r1", "FAILED"))
    assert exit_record(store, "r1")["status"] == "failed" and "pretraining: bad" in read(index(store)).text
    with pytest.raises(SystemExit), stage("pretraining", settings(store, "r1")):
        raise DataError("worse")
    assert exit_record(store, "r1")["failure"]["error"]["what"] == "worse", "a Retry that fails is told, too"
    go(store, "r1", stages=("pretraining", "registration"))
    go(store, "r1", stages=("finetuning", "evaluation"), task="topics")
    assert exit_record(store, "r1")["status"] == "failed"
    go(store, "r1", stages=("promotion",))
    record = exit_record(store, "r1")
    assert record["status"] == "succeeded" and record["failure"] is None
    assert "succeeded" in read(index(store)).texts and "worse" not in read(index(store)).text


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "COMPLETE"])
def test_closing_amends_a_success(store, state):
    go(store, "r1", stages=("preflight", "promotion"))
    run(Config(store.uri, "r1", state, "said"))
    record = exit_record(store, "r1")
    assert (record["status"], record["state"], record["message"]) == ("succeeded", state, "said")
    assert json.dumps(record)
