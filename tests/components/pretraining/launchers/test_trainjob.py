"""The TrainJob launcher against a Kubernetes API over HTTP, whose pods are processes."""

import contextlib
import os
import signal
import sys
import threading
import time

import pytest
import torch

from components.lib.core import errors
from components.lib.core.settings import from_dict, to_dict
from components.lib.kubernetes.api import Cluster
from components.lib.storage.artifacts import Key
from components.lib.storage.lease import Lease
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config as Settings
from components.pretraining.job import Job
from components.pretraining.launchers.trainjob import Config, launch
from components.pretraining.run import run
from tests.fakes import kubernetes_api
from tests.made import corpora

FOLLOWER = "components.pretraining.follower"
KEY = Key("pretraining", 1, {"steps": 3})
POD = """
import json, os, signal, sys, time
from components.lib.core.errors import DataError
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from components.pretraining import job as jobs
place = sys.argv[1]
job = jobs.read(place)
def commit():
    with Store(job.store).draft(job.key) as draft:
        draft.write("model", "weights")
        draft.commit()
"""
FINE = "for number in range(9):\n    print('line', number, flush=True); time.sleep(0.05)\ncommit()"
FAILING = """
error = DataError("the tokens are bad", where="shard 3")
connect(place).write("errors/0.json", json.dumps(error.to_dict()).encode())
sys.exit(error.exit_code)
"""


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{FOLLOWER}.POLL", 0.1)
    for module in ("log", "pod_watch"):
        monkeypatch.setattr(f"components.lib.kubernetes.{module}.PAUSE", 0.1)
    with kubernetes_api.serving(tmp_path) as (server, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield server


def pod(text):
    return [sys.executable, "-c", POD + text]


def job(s3, **settings):
    run_details = {"tracking_uri": "", "run_id": "r", "stage": "pretraining", "details": {}}
    return Job(s3, KEY, "tokens", to_dict(Settings(**settings)), run_details)


def committed(s3):
    return Store(s3).find(KEY) is not None


def left(s3):
    return list(Store(s3).objects.keys("launches/"))


def pods_run(api):
    """The name of the first TrainJob, when its pods run."""
    while not api.pods:
        time.sleep(0.01)
    return api.made[0]["metadata"]["name"]


def gone(api, name):
    while name in api.jobs:
        api.delete(name, {})
        api.get(name)
        time.sleep(0.01)


@contextlib.contextmanager
def beside(act, *arguments):
    """Another who acts while we launch."""
    thread = threading.Thread(target=act, args=arguments)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.long
def test_a_trunk_is_trained_by_two_pods_and_comes_back_through_the_store(api, s3, tmp_path, capfd):
    api.pending, api.cuts = 1.0, 2
    corpora.topic_tokens(tmp_path, store=s3)
    launch = {"nodes": 2, "queue": "team-queue", "hours": 1.0}
    small = {"trunk": {"size": "nano", "sequence_length": 32}, "steps": 6, "global_batch": 16, "threads": 1}
    settings = Settings(**small, launcher="trainjob", launch=launch)

    def admit():
        while not api.made:
            time.sleep(0.05)
        time.sleep(1)
        api.admit(api.made[0]["metadata"]["name"])

    context = Context(Store(s3), stage="pretraining")
    with beside(admit):
        run(settings, context, tokens=tmp_path / "tokens.json", trunk=tmp_path / "trunk.json")
    said = capfd.readouterr().out
    assert "waits for its turn in the queue" in said and "its pods run" in said
    assert said.count(" 1/6 ") == 1 and api.cut == 2  # rank 0's log, each line once, in spite of the cuts
    assert context.outputs[0]["reused"] is False and context.outputs[0]["uri"].startswith(s3)
    body = api.made[0]
    assert len(api.made) == 1 and api.jobs == {} and left(s3) == []
    assert body["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-queue"
    assert body["spec"]["trainer"]["numNodes"] == 2 and body["spec"]["activeDeadlineSeconds"] == 3600


def test_every_setting_reaches_an_object_that_trainer_takes(api, s3, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_IMAGE", "registry/trunkline:1")
    ambient = {"MLFLOW_RUN_ID": "abc", "MLFLOW_TRACKING_AUTH": "kubernetes"}  # KFP's MLflow plugin
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    api.program = pod("commit()")
    options = Config(
        resources={"cpu": 8, "memory": "64Gi", "nvidia.com/gpu": 4},
        environment={"NCCL_DEBUG": "WARN"},
        secrets={"keys": ("AWS_ACCESS_KEY_ID",)},
        runtime="torch-distributed",
        runtime_kind="ClusterTrainingRuntime",
        pod={"nodeSelector": {"pool": "gpu"}},
    )
    launch(job(s3, nproc=0), options)
    spec = api.made[0]["spec"]
    assert spec["runtimeRef"]["name"] == "torch-distributed"
    trainer = spec["trainer"]
    assert trainer["numProcPerNode"] == 4 and trainer["image"] == "registry/trunkline:1"
    limits = {"memory": "64Gi", "nvidia.com/gpu": "4"}
    assert trainer["resourcesPerNode"] == {"limits": limits, "requests": {"cpu": "8", **limits}}
    given = {*ambient, "AWS_ACCESS_KEY_ID", "NCCL_DEBUG", "TRUNKLINE_ACCELERATORS"}
    assert {entry["name"] for entry in trainer["env"]} == given
    patched = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    assert patched["template"]["spec"]["template"]["spec"] == {"nodeSelector": {"pool": "gpu"}}


def test_a_second_launcher_adopts_the_running_job(api, s3, capfd):
    api.program = pod("time.sleep(3)\n" + FINE)
    with beside(launch, job(s3), Config()):
        pods_run(api)
        launch(job(s3), Config())
    assert "adopted TrainJob" in capfd.readouterr().out
    assert len(api.made) == 1 and committed(s3) and api.jobs == {}


def test_a_job_that_another_launcher_cleared_after_its_end_has_ended_well(api, s3, monkeypatch):
    monkeypatch.setattr(f"{FOLLOWER}.POLL", 2.0)
    api.program = pod("commit()")

    def clear():
        while not committed(s3):
            time.sleep(0.01)
        gone(api, api.made[0]["metadata"]["name"])

    with beside(clear):
        launch(job(s3), Config())
    assert len(api.made) == 1 and committed(s3) and left(s3) == []


def test_a_job_that_another_launcher_made_anew_is_followed(api, s3, monkeypatch):
    monkeypatch.setattr(f"{FOLLOWER}.POLL", 2.0)
    api.program = pod("time.sleep(60)")

    def replace():
        name, old = pods_run(api), api.made[0]
        api.program = pod("commit()")
        gone(api, name)
        stamped = {"uid", "creationTimestamp", "deletionTimestamp", "annotations"}
        body = {key: value for key, value in old.items() if key != "status"}
        body["metadata"] = {k: v for k, v in old["metadata"].items() if k not in stamped}
        assert api.create(body)[0] == 201

    with beside(replace):
        launch(job(s3), Config())
    assert len(api.made) == 2 and committed(s3) and api.jobs == {}


def test_the_error_of_a_pod_is_the_error_of_the_stage(api, s3):
    api.program = pod(FAILING)
    for made in (1, 2):  # a finished failed job of the same name is not adopted
        with pytest.raises(errors.DataError, match="the tokens are bad") as caught:
            launch(job(s3), Config())
        assert caught.value.where == "shard 3" and len(api.made) == made


def test_pods_that_do_not_see_their_accelerators_do_not_train_on_processors(api, s3):
    with pytest.raises(errors.ConfigError, match="not seen") as caught:
        launch(job(s3), Config(resources={"nvidia.com/gpu": torch.cuda.device_count() + 1}))
    assert caught.value.exit_code == 78 and len(api.made) == 1


def test_lost_pods_start_anew_so_often_and_no_more(api, s3, capfd):
    api.program = pod("os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(errors.WorkerLost) as caught:
        launch(job(s3, restarts=2), Config())
    assert len(api.made) == 3 and caught.value.exit_code == 75
    assert "pod 0: Error: exit code 137" in caught.value.found
    api.program = pod(FINE)
    launch(job(s3), Config())
    assert committed(s3) and "line 8" in capfd.readouterr().out


def test_sigterm_of_the_launcher_ends_the_job(api, s3):
    api.program = pod("time.sleep(60)")

    def terminate():
        pods_run(api)
        os.kill(os.getpid(), signal.SIGTERM)

    start = time.monotonic()
    with beside(terminate), pytest.raises(errors.Interrupted, match="told to stop"):
        launch(job(s3), Config())
    assert time.monotonic() - start < 30  # the grace of a pod
    name = api.made[0]["metadata"]["name"]
    assert name not in api.jobs or "deletionTimestamp" in api.jobs[name]["metadata"]


def test_a_launcher_that_is_told_to_stop_leaves_the_job_to_another_run_that_follows_it(api, s3):
    api.program = pod("time.sleep(60)")
    wanted = job(s3)
    assert Lease(Store(s3).objects, f"launches/{wanted.key.digest}", "another-run").take()

    def terminate():
        pods_run(api)
        os.kill(os.getpid(), signal.SIGTERM)

    with beside(terminate), pytest.raises(errors.Interrupted, match="another run wants it"):
        launch(wanted, Config())
    assert "deletionTimestamp" not in api.jobs[api.made[0]["metadata"]["name"]]["metadata"]


def test_an_api_that_is_ill_for_a_while_is_asked_again_and_one_that_stays_so_is_told(api, s3):
    api.program = pod("time.sleep(1)\n" + FINE)
    api.ills = 3
    launch(job(s3), Config())
    assert committed(s3) and api.ill == 3
    api.ills = 1000
    with pytest.raises(errors.ServiceError, match="Kubernetes failed"):
        Cluster(outage=1.0).get("x")


def test_a_job_that_somebody_deletes_is_not_made_again(api, s3):
    api.program = pod("time.sleep(60)")

    somebody = beside(lambda: api.delete(pods_run(api), {}))
    with somebody, pytest.raises(errors.Interrupted, match="somebody deleted"):
        launch(job(s3, restarts=3), Config())
    assert len(api.made) == 1


def test_a_deadline_is_a_request_to_resume(api, s3):
    api.program = pod("time.sleep(60)")
    with pytest.raises(errors.Interrupted, match="time is over"):
        launch(job(s3), Config(hours=1 / 3600))


def test_what_cannot_work_is_refused_before_work_starts(api, s3, monkeypatch, tmp_path):
    for wrong in ({"cpu": 1, "limits": {"cpu": 1}}, {"requests": {"nvidia.com/gpu": 1}}, {"limits": 4}):
        with pytest.raises(errors.ConfigErrors):
            from_dict(Config, {"resources": wrong}, "pretraining.launch")
    with pytest.raises(errors.ConfigErrors, match="rendezvous"):
        from_dict(Config, {"environment": {"PET_NNODES": "2"}}, "pretraining.launch")
    with pytest.raises(errors.ConfigError, match="cannot reach the store"):
        launch(job(str(tmp_path)), Config())
    monkeypatch.setattr(api, "create", lambda body: (404, {"message": "the server has no such resource"}))
    with pytest.raises(errors.MissingError, match="knows no TrainJobs") as caught:
        launch(job(s3), Config())
    assert "install Kubeflow Trainer" in caught.value.fix
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(errors.ConfigError, match="no Kubernetes cluster"):
        launch(job(s3), Config())
    assert not api.made
