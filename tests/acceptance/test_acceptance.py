"""The acceptance of a cluster, on one that is played: every row holds, and fails for what it is asked for."""

import hashlib
import json
import os
import re
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cluster import load
from pipelines.kubeflow import Kubeflow
from tests.acceptance import __main__ as acceptance
from tests.acceptance import asking, inside, preflight, probe, rows, trainer_rows
from tests.acceptance.asking import Asking
from tests.acceptance.cluster import Site
from tests.acceptance.inside import Inside
from tests.fakes import kubernetes_api
from tests.fakes.kubeflow_server import Backend, Refused
from tests.fakes.kubeflow_server import serving as kubeflow
from tests.fakes.played_cluster import UNPULLED, PlayedCluster

ROWS = {**rows.ROWS, **trainer_rows.ROWS}
# Row -> what goes wrong while it is asked -> words of its line. The last is asked at the end, of the removal.
FAULTS = {
    "success": ("no report", "a report in the store"),
    "digest": ("other bytes", "others: weights"),
    "terminate": ("no closing", "s after Terminate; found: FAILED, TrainJob"),
    "deleted": ("not made anew", "the pod is made anew"),
    "killed": ("no reason", "it tells that the pod failed"),
    "equal": ("taken", "another run has taken the training"),
    "one-model": ("champion", "evaluate again"),
    "schedule": ("unpinned", "a run of version"),
    "lost-pod": ("not restarted", "both pods are made anew"),
    "image": ("no patience", "ends; found: RUNNING (pretraining Running)"),
    "no-room": ("silent", "no node has room"),
    "removal": ("kept", "nobody may delete"),
}

ENDLESS = ("no patience", "silent")


class Played:
    """A cluster, who asks it, and what was said."""

    def __init__(self, cluster: PlayedCluster, asking: Asking) -> None:
        self.cluster, self.asking, self.lines = cluster, asking, dict[str, str]()

    def ask(self, wanted=(), faults=None, said=lambda: None):
        """The exit code; `faults` of a row are there while it is asked."""
        order = [*preflight.ROWS, *(name for name in ROWS if not wanted or name in wanted), "removal"]

        def say(line):
            name = line.split()[0]
            self.lines[name] = line
            here = order.index(name) + 1 if name in order else len(order)
            planted = (faults or {}).get(order[min(here, len(order) - 1)], ("",))
            self.asking.seconds = 2.0 if planted[0] in ENDLESS else 20.0
            self.cluster.faults.clear()
            self.cluster.faults.add(planted[0])
            said()

        code = acceptance.ask(self.asking, list(wanted), say)
        for thread in self.cluster.threads:
            thread.join(20)
        return code

    def left(self, store):
        """What is there of all that was made."""
        backend, api = self.cluster.backend, self.cluster.api
        tables = (backend.runs, backend.recurring, backend.versions, backend.pipelines, backend.experiments)
        pods = [name for name in api.objects["pods"] if "acceptance" in name]
        words = ("registered-models/search", {"max_results": 100}, "GET")
        models = probe.rest(self.asking.inside.tracking_uri, *words).get("registered_models", [])
        names = [one["name"] for one in models if one["name"].startswith(self.asking.inside.name)]
        assert not probe.runs(self.asking.inside.tracking_uri, list(self.cluster.runs)), "runs in MLflow"
        files = [path for path in Path(store).rglob("*") if path.is_file()]
        return [*(name for table in tables for name in table), *api.jobs, *pods, *files, *names]


@pytest.fixture
def played(tmp_path, mlflow_uri, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_CLUSTER", "kind")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "played")
    backend = Backend(release="2.17")
    with kubernetes_api.serving(tmp_path) as (api, kubeconfig), kubeflow(backend) as uri:
        config = json.loads(kubeconfig.read_text())
        config["users"][0]["user"] = {"token": "admin"}
        (tmp_path / "admin").write_text(json.dumps(config))
        cluster = PlayedCluster(backend, api, tmp_path / "store", mlflow_uri)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "admin"))
        site, here = Site(), load()
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))  # of what runs in the cluster
        first, resources = Inside(site, here, "0123abcd", "", ""), {"cpu": "200m", "memory": "2Gi"}

        def made_here(overrides):
            data = f"trunk {overrides['pretraining.seed']}" + "!" * ("other bytes" in cluster.faults)
            return [["weights", hashlib.sha256(data.encode()).hexdigest()]]

        words = (Kubeflow(uri), site, here, first, True, 20.0, 6000, resources, 0.02, made_here)
        yield Played(cluster, Asking(*words))


def test_all_rows_hold_and_everything_is_removed(played, tmp_path):
    code = played.ask()
    assert code == 0, "\n".join(played.lines.values())
    assert {*played.lines} == {*preflight.ROWS, *ROWS, "removal"}
    assert all(re.match(r"\S+ +ok: ", line) for line in played.lines.values()), played.lines
    assert not played.left(tmp_path / "store")


def test_each_row_fails_for_what_it_asks(played, monkeypatch):
    monkeypatch.setattr(rows, "LEFT", 0.5)

    def refuse(method, path):
        if "kept" in played.cluster.faults and method == "DELETE" and "/runs/" in path:
            raise Refused(403, "nobody may delete")
        schedule(method, path)

    schedule, played.cluster.backend.before = played.cluster.backend.before, refuse
    assert played.ask(faults=FAULTS) == 1
    for name, (_, words) in FAULTS.items():
        assert "FAILED" in played.lines[name] and words in played.lines[name], played.lines[name]
    assert all("ok" in played.lines[name] for name in preflight.ROWS)
    assert {run["state"] for run in played.cluster.backend.runs.values()} == {"SUCCEEDED", "FAILED"}


def test_a_retry_that_the_record_does_not_know_is_seen(played):
    controller = played.cluster.api.objects["configmaps"]["workflow-controller-configmap"]
    defaults, controller["data"] = controller["data"], {}  # deleted pods are not made anew
    assert played.ask(["deleted"], {"deleted": ("not made anew", "")}) == 0
    assert "Retry: succeeded" in played.lines["deleted"] and "deleted" in played.lines["deleted"]
    controller["data"] = defaults
    assert played.ask(["killed"], {"killed": ("retry", "")}) == 1
    assert "expected: its record says succeeded; found: failed" in played.lines["killed"]


def test_what_a_cluster_lacks_is_told_before_anything_runs(played):
    api = played.cluster.api
    api.rules, api.exec = [], lambda pod, words: ("no store", 69)
    for kind in ("secrets", "trainingruntimes"):
        api.objects[kind].clear()
    del api.objects["configmaps"]["workflow-controller-configmap"]
    assert played.ask() == 1 and not played.cluster.runs
    words = {
        "rights": "FAILED: expected: the account pipeline-runner may do it; found: not list pods, ",
        "secrets": "no secret trunkline (Not Found)",
        "storage": "a program in a pod failed",
        "trainer": "the runtime trunkline-torch",
        "retries": "not asked: the controller's settings cannot be read",
        **dict.fromkeys(ROWS, "not asked: store and MLflow do not answer"),
    }
    assert all(word in played.lines[name] for name, word in words.items()), played.lines
    assert not [name for name in api.objects["pods"] if "acceptance" in name]


def test_without_trainer_its_rows_are_not_asked(played):
    played.cluster.api.objects["trainingruntimes"].clear()
    assert played.ask(["success", "lost-pod"]) == 1 and "ok" in played.lines["success"]
    assert "FAILED: expected: the runtime trunkline-torch" in played.lines["trainer"]
    assert "not asked: there is no Trainer" in played.lines["lost-pod"]


def test_images_that_cannot_be_pulled_are_told_within_minutes_and_the_run_ends(played, monkeypatch, tmp_path):
    for module in (asking, inside):
        monkeypatch.setattr(module, "BLOCKED", 0.2)
    assert played.ask(["success"], {"success": ("no image", "")}) == 1
    words = "ImagePullBackOff: Back-off pulling image"
    assert words in played.lines["success"] and "kubectl describe pod -n team" in played.lines["success"]
    assert {run["state"] for run in played.cluster.backend.runs.values()} <= {"FAILED"}
    assert "ok" in played.lines["removal"] and not played.left(tmp_path / "store")
    played.cluster.api.status = UNPULLED  # of the pod that asks, which is the first
    anew = Played(played.cluster, other(played, "4567cdef"))
    assert anew.ask(["success", "digest"]) == 1
    assert words in anew.lines["storage"] and "not asked: store and" in anew.lines["digest"]


def other(played, token):
    """Another acceptance of the same cluster."""
    one = played.asking
    beside = Inside(one.site, one.cluster, token, "", "")
    return replace(one, inside=beside, started={}, jobs={}, known={}, failed=[], used=[])


def test_what_a_killed_acceptance_has_left_is_removed_by_its_name(played, monkeypatch, tmp_path, capsys):
    killed = other(played, "4567cdef")
    killed.deadline, played.cluster.faults = time.monotonic() + 20, {"silent"}
    assert preflight.storage(killed)
    killed.start(killed.settings(**{"pretraining.checkpoint_every": 1, "tasks": []}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "admin"))
    words = ["--endpoint", played.asking.server.endpoint, "--every", "0.05"]
    assert acceptance.main([*words, "--rows", "versions"]) == 64
    assert acceptance.main([*words, "--rows", "success"]) == 0
    name = killed.inside.name
    assert f"also there: {name} since" in (said := capsys.readouterr().out) and f"REMOVE={name}" in said
    assert list(played.cluster.backend.runs) == list(killed.started), "it is of another acceptance"
    assert acceptance.main([*words, "--remove", name]) == 0
    assert not played.left(tmp_path / "store") and "all that was made is gone" in capsys.readouterr().out


def test_two_acceptances_at_once_leave_each_other_what_they_use(played, tmp_path):
    second = Played(played.cluster, other(played, "4567cdef"))
    lines = []

    def beside():
        """The second begins when the first has published, and ends after it."""
        if list(played.lines)[-1] == "retries":
            assert preflight.storage(second.asking)
            second.asking.deadline = time.monotonic() + 20
            lines.append(second.asking.start(second.asking.settings(**{"pretraining.checkpoint_every": 1})))

    assert played.ask(["success"], {}, beside) == 0, played.lines
    assert (
        "but version" in played.lines["removal"]
        and "the experiment, which others use" in played.lines["removal"]
    )
    assert list(played.cluster.backend.runs) == lines and played.cluster.backend.versions
    assert acceptance._finish(second.asking, lines.append) == 0 and "ok" in lines[-1]
    assert not played.cluster.backend.runs


def test_one_row_by_its_name(played, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "admin"))
    words = ["--endpoint", played.asking.server.endpoint, "--rows", "success", "--every", "0.05"]
    assert acceptance.main(words) == 0
    said = capsys.readouterr().out
    assert re.search(r"^success +ok: ", said, re.MULTILINE) and not re.search("^digest", said, re.MULTILINE)
    assert re.search(r"^trainer +not asked: TRAINER=1 asks it", said, re.MULTILINE)


def test_a_row_that_is_not_there_is_told(capsys):
    assert acceptance.main(["--rows", "sucess"]) == 64 and "success, digest" in capsys.readouterr().err


INTERRUPTED = "ignore::pytest.PytestUnraisableExceptionWarning"  # a socket in the midst of an answer


@pytest.mark.filterwarnings(INTERRUPTED)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_interrupted_it_removes_what_it_has_made(played, tmp_path, number):
    def terminated():
        """While the next row waits for what does not come."""
        if list(played.lines)[-1] == "retries":
            threading.Timer(0.7, os.kill, (os.getpid(), number)).start()

    assert played.ask(["no-room"], {"no-room": ("silent", "")}, terminated) == acceptance.INTERRUPTED
    assert "interrupted:" in played.lines and "ok" in played.lines["removal"]
    assert not played.left(tmp_path / "store")


@pytest.mark.parametrize(
    ("defaults", "retries", "anew"),
    [
        ("spec: {templateDefaults: {retryStrategy: {limit: '2', retryPolicy: OnError}}}", 5, (True, False)),
        ("", 5, (False, True)),
        ("", 0, (False, False)),
        ("spec: {templateDefaults: {retryStrategy: {retryPolicy: Always}}}", 0, (True, True)),
    ],
)
def test_what_retries_mean_follows_from_the_settings_of_argo(defaults, retries, anew):
    assert preflight.again({"workflowDefaults": defaults}, retries) == anew
