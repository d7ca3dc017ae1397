"""The matrix of MLflow: addresses that are none, servers that are ill, models that cannot be registered."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.lib.core.settings import from_dict
from components.lib.registry.mlflow_model import Use, write
from components.lib.registry.registered_models import Registry
from components.lib.registry.tracking import connect, experiment, probe
from components.registration.config import Config
from tests.bad_input.refusal import (
    ACCESS,
    ALMIGHTY,
    DATA,
    MISSING,
    SERVICE,
    SETTING,
    SETTINGS,
    Kind,
    as_anybody,
    judge,
)
from tests.fakes.mlflow_server import free_port

LIKE = "did you mean "
FORMS = "http://host:port, https://host or sqlite:///path/mlflow.db"

# address, kind of error, what it says, where
ADDRESSES: list[tuple[str, Kind, str, str]] = [
    ("mlflow.svc:5000", SETTING, LIKE + "http://mlflow.svc:5000?", "tracking_uri"),
    ("localhost:5000/mlflow", SETTING, LIKE + "http://localhost:5000/mlflow?", "tracking_uri"),
    ("/data/mlruns", SETTING, LIKE + "sqlite:////data/mlruns/mlflow.db?", "tracking_uri"),
    ("file:///data/mlruns", SETTING, LIKE + "sqlite:////data/mlruns/mlflow.db?", "tracking_uri"),
    ("mlruns", SETTING, LIKE + "sqlite:///mlruns/mlflow.db?", "tracking_uri"),
    ("ftp://host/x", SETTING, FORMS, "tracking_uri"),
    ("http:///x", SETTING, "names no host", "tracking_uri"),
    ("http://host:port", SETTING, "not a URL", "tracking_uri"),
    ("http://[::1", SETTING, "an address is malformed", "tracking_uri"),
    ("sqlite://", SETTING, "names no file", "tracking_uri"),
    ("http://user:s3cr3t@host", SETTING, "MLFLOW_TRACKING_TOKEN", "tracking_uri"),
    ("sqlite:///{tmp}/text", SETTING, "not a sqlite database", "text"),
    ("sqlite:///{tmp}/text/mlflow.db", SETTING, "names no file", "mlflow.db"),
    ("sqlite:///{tmp}", SETTING, "names no file", "sqlite"),
    ("http://127.0.0.1:{port}", SERVICE, "does not answer", "127.0.0.1"),
    ("http://{silent}", SERVICE, "does not answer", "127.0.0.1"),
]


@pytest.mark.parametrize(("uri", "kind", "what", "where"), ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_an_address_that_is_none(refused, tmp_path, uri, kind, what, where):
    (tmp_path / "text").write_text("not a database, " * 100)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        full = uri.format(tmp=tmp_path, port=free_port(), silent=address)
        error = refused("preflight", lambda _: probe(full, timeout=0.5))
    judge(error, kind, what, where)
    assert error["retriable"] == (kind is SERVICE) and "s3cr3t" not in str(error)


# status and body of an answer, kind of error, what it says
ANSWERS: list[tuple[int, str, Kind, str]] = [
    (401, "", ACCESS, "MLFLOW_TRACKING_TOKEN"),
    (403, "Invalid Host header - possible DNS rebinding attack detected", ACCESS, "ALLOWED_HOSTS"),
    (404, "nothing here", SETTING, "something answers that is not MLflow"),
    (200, "<html>another service</html>", SETTING, "something answers that is not MLflow"),
    (200, "2.22.0", SETTING, "too old"),
    (302, "", SETTING, "something answers that is not MLflow"),
    (503, "starting", SERVICE, "ill"),
]


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/prefix"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "body", "kind", "what"), ANSWERS)
def test_a_server_that_cannot_be_used(refused, status, body, kind, what):
    with answering(status, body) as uri:
        judge(refused("preflight", lambda _: probe(uri)), kind, what, "127.0.0.1")


@pytest.mark.skipif(ALMIGHTY, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    code = "from components.lib.registry.tracking import probe; probe('sqlite:///{}/closed/mlflow.db')"
    done = as_anybody(code, tmp_path)
    assert done.returncode == 77, done.stderr
    assert "cannot be written" in done.stdout and "closed" in done.stdout and "fix:" in done.stdout


# id: what the registry is asked, kind of error, what it says
REGISTRY = {
    "no server": (lambda uri: Registry(""), SETTING, "MLFLOW_TRACKING_URI"),
    "nothing registered": (
        lambda uri: Registry(uri).require("news", "champion"),
        MISSING,
        "no registered model",
    ),
    "a deleted experiment": (lambda uri: deleted(uri), SETTING, "mlflow experiments restore"),
}


def deleted(uri: str) -> None:
    client = connect(uri)
    client.delete_experiment(experiment(client, "gone"))
    experiment(client, "gone")


@pytest.mark.parametrize("row", REGISTRY)
def test_what_the_registry_does_not_have(refused, sqlite_uri, row):
    ask, kind, what = REGISTRY[row]
    judge(refused("registration", lambda _: ask(sqlite_uri)), kind, what, "")


def test_a_missing_alias_lists_what_there_is(refused, sqlite_uri):
    from tests.components.lib.registry.test_registered_models import register

    registry = Registry(sqlite_uri)
    registry.set_alias(register(registry), "challenger")
    error = refused("registration", lambda _: registry.require("news", "champion"))
    judge(error, MISSING, "challenger -> version 1", "sqlite")
    with pytest.raises(MISSING[1]) as caught:
        registry.require("nws", "champion")
    assert caught.value.found == "news"


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "it's"])
def test_a_name_that_mlflow_refuses(refused, name):
    error = refused("registration", lambda _: from_dict(Config, {"name": name}, "registration"))
    judge(error, SETTINGS, "name", "registration.name")


def test_a_folder_that_is_no_model(refused, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    about = {"use": Use.of("trunk", "text"), "model_id": "m", "run_id": "r", "readme": ""}
    error = refused("registration", lambda _: write(tmp_path, {}, tmp_path / "out", **about))
    judge(error, DATA, "not a Hugging Face model", str(tmp_path))
