"""Runs started on a server that speaks Kubeflow's API."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines import submit
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
    assert run["runtime_config"]["parameters"] == {
        "preset": "smoke", "overrides": {"pretraining.steps": 7}, "store": "s3://b/p", "tracking_uri": "",
    }  # fmt: skip
    assert backend.experiments[run["experiment_id"]]["display_name"] == "trunkline"


def test_the_same_content_is_uploaded_once(backend, uri):
    assert started(uri) == started(uri) == started(uri, "--pipeline", "finetuning") == 0
    assert len(backend.runs) == 3 and len(backend.versions) == 2 and len(backend.experiments) == 1
    assert {one["name"] for one in backend.pipelines.values()} == {
        "trunkline-training",
        "trunkline-finetuning",
    }


def test_waiting_for_the_end(backend, uri, capsys):
    assert started(uri, "--wait") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "pending", "running", "succeeded",
    ]  # fmt: skip


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

    def before(method, path):
        """The exit record is there before the state changes."""
        if method == "GET" and "/runs/" in path and record is not None:
            folder = tmp_path / "runs" / path.rpartition("/")[2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "exit.json").write_text(json.dumps(record))

    backend.before = before
    assert started(uri, "--wait", "--store", str(tmp_path)) == code
    said = capsys.readouterr().err
    assert ("ingestion failed: no" in said) == (code == 65)


def test_a_server_that_comes_back_is_waited_for(backend, uri):
    lost = []

    def before(method, path):
        if "/runs/" in path and len(lost) < 4:
            lost.append(path)
            raise Refused(503, "upstream is away")

    backend.before = before
    assert started(uri, "--wait") == 0 and len(lost) == 4


def test_wrong_settings_start_nothing(backend, uri, capsys):
    assert started(uri, "--set", "pretraining.stepz=7") == 78
    assert "did you mean 'steps'" in capsys.readouterr().err and not backend.requests


def test_users_have_a_token_and_a_namespace(backend, uri, monkeypatch, tmp_path, capsys):
    backend.token, backend.multi_user = "sesame", True
    assert started(uri) == 77 and "KF_PIPELINES_TOKEN" in capsys.readouterr().err
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert started(uri) == 78 and "KF_PIPELINES_NAMESPACE" in capsys.readouterr().err
    monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "team")
    assert started(uri) == 0
    (pipeline,), (experiment,) = backend.pipelines.values(), backend.experiments.values()
    assert pipeline["namespace"] == experiment["namespace"] == "team"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "none"))
    assert started(uri) == 77


def test_nobody_and_somebody_else(capsys):
    assert started("http://127.0.0.1:1") == 69
    assert started("") == 64 and started("localhost:8080") == 64

    class Login(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Log in")

        def log_message(self, *words):
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    assert started(f"http://127.0.0.1:{server.server_port}") == 77
    server.shutdown()
    server.server_close()
    said = capsys.readouterr().err
    assert "<html>Log in" in said and "Traceback" not in said
