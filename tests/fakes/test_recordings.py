"""The servers of the tests, and our readers of answers, against what real servers answered."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from components.lib.core.errors import ConfigError, MissingError
from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.manifest import Place, state, trainjob
from pipelines import submit
from pipelines.kubeflow import Kubeflow
from tests.fakes import kubernetes_api
from tests.fakes import kubernetes_rights as rights
from tests.fakes.kubeflow_server import CODES, Backend, Refused, serving
from tests.fakes.kubernetes_rights import Act

RUNS, ERRORS, TRAINJOBS = (
    json.loads((Path(__file__).parent / "recordings" / f"{name}.json").read_text())
    for name in ("kubeflow_runs", "kubeflow_errors", "trainjobs")
)
STEPS = {case: recorded["steps"] for case, recorded in RUNS.items()}
RUNS = {case: recorded["run"] for case, recorded in RUNS.items()}


def states(case):
    return [one["state"] for one in RUNS[case]["state_history"]]


def shape(value):
    """Names and types of everything in an answer but the parameters of a run."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items() if name != "parameters"}
    return [shape(one) for one in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("succeeded", 0),
        ("with-mlflow-plugin", 0),
        ("terminated", 75),
        ("image-of-a-step-cannot-be-pulled", 75),  # it ran until somebody terminated it
        ("failed-by-a-typo", 78),
        ("retried-after-failure", 70),  # who waits is told of the failure; the retry comes later
    ],
)
def test_a_run_that_is_waited_for_ends_as_the_real_one_did(case, code, tmp_path, capsys):
    backend = Backend(release="2.17", states=states(case))

    def closes(method, path):
        if method == "GET" and "/runs/" in path:
            folder = tmp_path / "runs" / path.rpartition("/")[2]
            folder.mkdir(parents=True, exist_ok=True)
            failure = {"stage": "preflight", "error": {"what": "no such preset", "exit_code": 78}}
            record = {"failure": failure if case == "failed-by-a-typo" else None}
            (folder / "exit.json").write_text(json.dumps(record))

    backend.before = closes
    with serving(backend) as uri:
        words = f"--preset smoke --endpoint {uri} --every 0.01 --store {tmp_path} --wait"
        assert submit.main(words.split()) == code
        with urllib.request.urlopen(f"{uri}/apis/v2beta1/runs/{next(iter(backend.runs))}") as response:
            answer = json.loads(response.read())
    shown = [line.split()[-1].upper() for line in capsys.readouterr().out.splitlines()[1:]]
    end = 3 if case == "retried-after-failure" else None
    assert shown == states(case)[:end]
    newer = {"plugins_input", "plugins_output", "a_field_of_tomorrow"}  # only where there are plugins
    here, there = ({k: v for k, v in one.items() if k not in newer} for one in (answer, RUNS[case]))
    assert shape(here) == shape(there)


def test_errors_are_those_of_the_real_server():
    backend = Backend()
    with serving(backend) as uri:
        server = Kubeflow(uri)
        server._create("trunkline-training", "")
        for status, kind, act in (
            ("404", MissingError, lambda: server.get_run("unknown-id")),
            ("409", ConfigError, lambda: server._create("trunkline-training", "")),
        ):
            there = ERRORS[status]
            assert there["code"] == CODES[int(status)]
            with pytest.raises(kind):
                act()

            def refuse(method, path, status=int(status), message=there["message"]):
                raise Refused(status, message)

            backend.before = refuse
            with pytest.raises(kind) as caught:
                act()
            assert caught.value.found == f"{status} {there['message']}"
            backend.before = lambda method, path: None


@pytest.mark.parametrize(
    ("case", "phases"),
    [
        # None of these ends, nor says why: that is told by the pods alone.
        ("image-cannot-be-pulled", ["running"]),
        ("secret-missing", ["created", "running"]),
        ("cannot-be-placed", ["created", "running"]),
        # JobSet makes the pods anew.
        ("out-of-memory", ["created", "running", "created", "running"]),
        ("pod-lost-and-restarted", ["created", "running", "created", "running", "complete"]),
    ],
)
def test_a_trainjob_is_read_as_it_was_seen(case, phases):
    found = [state({"status": status}).phase for status in TRAINJOBS[case]["TrainJob"]]
    assert [one for one, before in zip(found, [None, *found], strict=False) if one != before] == phases
    assert phases[-1] != "complete" or state({"status": TRAINJOBS[case]["TrainJob"][-1]}).text


def test_trainjobs_and_pods_of_the_tests_look_like_the_real_ones(tmp_path, monkeypatch):
    """One that completes, of two pods: each of its states was seen, or has the shape of one that was."""
    real = TRAINJOBS["pod-lost-and-restarted"]
    with kubernetes_api.serving(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        api.program = [sys.executable, "-c", "import time; time.sleep(1)"]
        cluster = Cluster()
        place = Place("team", "torch", "TrainingRuntime", "", 2, 1, {}, "", 0, {}, {}, {})
        cluster.create(trainjob("job", ["x"], place, {}))
        jobs, pods = [], []
        while not jobs or state(jobs[-1]).phase != "complete":
            jobs.append(json.loads(json.dumps(cluster.get("job"))))
            pods += [pod.body()["status"] for pod in api.pods["job"] if pod.index == 0]
        assert cluster.first_pod("job").status.container_statuses[0].state.terminated.exit_code == 0
    seen = [status["jobsStatus"] for status in real["TrainJob"] if status]
    assert all(job["status"]["jobsStatus"] in seen for job in jobs)
    assert shape(jobs[-1]["status"]) == shape(real["TrainJob"][-1])
    assert TrainerV1alpha1TrainJob.from_dict(jobs[-1]).status.conditions[0].reason == "AllJobsCompleted"
    for pod in pods:
        (container,) = pod["containerStatuses"]
        recorded = [one["status"] for one in real["Pod"]]
        same = [one for one in recorded if one["phase"] == pod["phase"] and one["containerStatuses"]]
        assert any(shape(container["state"]) == shape(one["containerStatuses"][0]["state"]) for one in same)


GROUP = "trainer.kubeflow.org"


@pytest.mark.parametrize(
    ("method", "target", "says"),
    [
        ("GET", f"/apis/{GROUP}/v1alpha1/namespaces/team/trainjobs/x", f"get trainjobs.{GROUP}"),
        ("GET", "/api/v1/namespaces/team/pods?labelSelector=a", "list pods"),
        ("GET", "/api/v1/namespaces/team/pods?watch=true", "watch pods"),
        ("GET", "/api/v1/namespaces/team/pods/a/log?follow=true", "get pods/log"),
        ("DELETE", "/api/v1/namespaces/team/pods", "deletecollection pods"),
        ("PATCH", "/apis/apps/v1/namespaces/team/deployments/a", "patch deployments.apps"),
    ],
)
def test_requests_are_named_as_kubernetes_names_them(method, target, says):
    assert str(rights.act(method, target)) == says


def test_rules_are_read_as_kubernetes_reads_them():
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"]}
    assert rights.allowed([rule], Act("get", "", "secrets", "mine"))
    assert not rights.allowed([rule], Act("get", "", "secrets", "other"))
    assert not rights.allowed([rule], Act("list", "", "secrets"))
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert rights.allowed([every], Act("delete", "apps", "deployments", "a"))
    assert not rights.allowed([{**every, "resources": ["pods"]}], Act("get", "", "pods/log", "a"))
