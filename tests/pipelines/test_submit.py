"""Runs started on a server that speaks Kubeflow's API; how each kind of run ends is in tests/fakes."""

import json
import re
import time
from types import SimpleNamespace

import pytest

from pipelines import kubeflow, local, submit
from tests.fakes import http_server
from tests.fakes.kubeflow_server import Backend, Refused, serving


@pytest.fixture(params=["2.16", "2.17"])
def backend(request):
    return Backend(release=request.param)


@pytest.fixture
def uri(backend):
    with serving(backend) as uri:
        yield uri


def started(uri, *words):
    return submit.main(["--preset", "smoke", "--endpoint", uri, "--every", "0.01", *words])


def test_a_run_of_the_content(backend, uri, capsys):
    assert started(uri, "--set", "pretraining.steps=7", "--store", "s3://b/p") == 0
    (run,), (version,) = backend.runs.values(), backend.versions.values()
    assert capsys.readouterr().out == f"{uri}/#/runs/details/{run['run_id']}\n"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    given = {
        "preset": "smoke",
        "overrides": {"pretraining.steps": 7},
        "store": "s3://b/p",
        "tracking_uri": "",
    }
    assert run["runtime_config"]["parameters"] == given
    assert backend.experiments[run["experiment_id"]]["display_name"] == "trunkline"
    assert started(uri) == started(uri, "--pipeline", "finetuning") == 0  # the same content is uploaded once
    assert len(backend.runs) == 3 and len(backend.versions) == 2 and len(backend.experiments) == 1
    names = {one["name"] for one in backend.pipelines.values()}
    assert names == {"trunkline-training", "trunkline-finetuning"}


@pytest.mark.parametrize("main", [submit.main, local.main])
def test_settings_that_no_command_takes_are_refused_before_anything_starts(main, uri, backend, capsys):
    """Of a schedule in test_schedule.py, between stages in preflight's tests."""
    sources = [f"https://data.example/{number:060}.txt" for number in range(2_000)]
    words = ["--preset", "smoke", "--set", f"ingestion.sources={json.dumps(sources)}"]
    assert main(words + (["--endpoint", uri] if main is submit.main else [])) == 78
    said = capsys.readouterr().err
    assert "too long for Kubeflow" in said and "name a folder or a pattern" in said and not backend.runs


def test_a_version_has_a_description_a_date_and_a_commit_and_there_is_one_a_content(
    backend, uri, monkeypatch
):
    monkeypatch.setenv("TRUNKLINE_COMMIT", "4f1c2d3" + "0" * 33)  # of an image, which has no git
    assert started(uri) == 0
    (first,) = backend.versions.values()
    (pipeline,) = backend.pipelines.values()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-4f1c2d3-[0-9a-f]{12}", first["name"])
    for words in ("Raw data in", "skip_unchanged: ", "smoke: The whole graph"):
        assert words in first["description"] == pipeline["description"]
    assert len(first["description"]) < 4_000, "it travels in an address"
    backend.versions["by hand"] = {
        **first,
        "name": "mine",
        "display_name": "mine",
        "created_at": backend.stamp(),
    }
    monkeypatch.setenv("TRUNKLINE_COMMIT", "5" * 40)  # of the next commit, which changes no pipeline
    assert started(uri) == 0 and len(backend.versions) == 2, "ours is found behind the newer one"
    ran = {run["pipeline_version_reference"]["pipeline_version_id"] for run in backend.runs.values()}
    assert ran == {first["pipeline_version_id"]}


def test_of_two_that_publish_at_once_both_run_the_same(backend, uri):
    assert started(uri) == 0
    held = dict(backend.versions)
    backend.versions.clear()

    def first(method, path):
        if path.endswith("/upload_version"):
            backend.versions.update(held)

    backend.before = first
    assert started(uri) == 0 and backend.versions == held


@pytest.mark.parametrize(
    ("endpoint", "page"),
    [
        ("http://ml-pipeline.kubeflow:8888", "http://ml-pipeline-ui.kubeflow"),
        (
            "http://ml-pipeline.kubeflow.svc.cluster.local:8888",
            "http://ml-pipeline-ui.kubeflow.svc.cluster.local",
        ),
        ("https://kubeflow.example/pipeline/", "https://kubeflow.example/pipeline"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
def test_the_page_is_the_uis_also_within_a_cluster(endpoint, page, monkeypatch):
    server = SimpleNamespace(endpoint=endpoint)
    assert kubeflow.Kubeflow.page(server, "1") == f"{page}/#/runs/details/1"
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://ui.example")
    assert kubeflow.Kubeflow.page(server, "1") == "https://ui.example/#/runs/details/1"


@pytest.mark.parametrize(
    ("state", "record", "code"),
    [
        ("FAILED", {"failure": {"stage": "ingestion", "error": {"what": "no", "exit_code": 65}}}, 65),
        ("FAILED", {"failure": None}, 70),
        ("FAILED", None, 70),
        ("CANCELED", None, 75),
    ],
)
def test_the_exit_code_is_that_of_the_run(backend, uri, tmp_path, state, record, code, capsys):
    backend.states = ["RUNNING", state]
    lost = []

    def before(method, path):
        """A server that comes back; the exit record is there before the state changes."""
        if method != "GET" or "/runs/" not in path:
            return
        if len(lost) < 4:
            lost.append(path)
            raise Refused(503, "upstream is away")
        folder = tmp_path / "runs" / path.rpartition("/")[2]
        folder.mkdir(parents=True, exist_ok=True)
        if record is not None:
            (folder / "exit.json").write_text(json.dumps(record))

    backend.before = before
    assert started(uri, "--wait", "--store", str(tmp_path)) == code and len(lost) == 4
    assert ("ingestion failed: no" in capsys.readouterr().err) == (code == 65)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("pretraining.stepz=7", "did you mean 'steps'"),
        (
            f"ingestion.sources=[{','.join(f's3://bucket/{n:060}' for n in range(2000))}]",
            "presets` of the chart",
        ),
    ],
)
def test_wrong_settings_start_nothing(backend, uri, capsys, setting, says):
    assert started(uri, "--set", setting) == 78
    assert says in capsys.readouterr().err and not backend.requests


def test_users_have_a_token_and_a_namespace(backend, uri, monkeypatch, tmp_path, capsys):
    backend.token, backend.multi_user = "sesame", True
    assert started(uri) == 77 and "KF_PIPELINES_TOKEN" in capsys.readouterr().err
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert started(uri) == 78 and "KF_PIPELINES_NAMESPACE" in capsys.readouterr().err
    monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "team")

    def renew(method, path):
        """Kubernetes replaces the token of a pod while the pod runs."""
        if "/runs/" in path:
            renewed = "new"
            backend.token = renewed
            (tmp_path / "token").write_text(renewed)

    backend.before = renew
    assert started(uri, "--wait") == 0
    (pipeline,), (experiment,) = backend.pipelines.values(), backend.experiments.values()
    assert pipeline["namespace"] == experiment["namespace"] == "team"
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "new")  # comes before the file
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "none"))
    assert started(uri) == 0
    monkeypatch.delenv("KF_PIPELINES_TOKEN")
    assert started(uri) == 77 and "the token cannot be read" in capsys.readouterr().err


def test_what_others_have_left_for_kfp_does_not_matter(backend, uri, monkeypatch, tmp_path):
    """kfp's own client takes a namespace and a cookie from a file of the home directory, and writes there."""
    path = tmp_path / "context.json"
    path.write_text(json.dumps({"namespace": "theirs", "client_authentication_cookie": "x"}))
    monkeypatch.setattr(kubeflow.kfp.Client, "_LOCAL_KFP_CONTEXT", str(path))
    before = path.read_bytes()
    assert started(uri) == 0 and path.read_bytes() == before
    assert not any("namespace" in one for one in (*backend.pipelines.values(), *backend.experiments.values()))


def test_nobody_and_somebody_else(monkeypatch, capsys):
    assert started("http://127.0.0.1:1") == 69
    assert started("") == 64 and started("localhost:8080") == 64

    class Login(http_server.Handler):
        def do_GET(self):
            self.send(200, b"<html>Log in")

    with http_server.serving(Login) as uri:
        assert started(uri) == 77
    said = capsys.readouterr().err
    assert "<html>Log in" in said and "Traceback" not in said

    class Silent(http_server.Handler):
        def do_GET(self):
            time.sleep(2)

    monkeypatch.setattr(kubeflow, "TIMEOUT", (0.5, 0.05))
    with http_server.serving(Silent) as uri:
        begin = time.monotonic()
        assert started(uri) == 69 and time.monotonic() - begin < 1.5
    assert "does not answer" in capsys.readouterr().err
