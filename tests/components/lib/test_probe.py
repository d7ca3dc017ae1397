import http.server
import os
import socket
import threading
import time

import pytest

from components.lib.errors import AccessError, ConfigError, ServiceError
from components.lib.tracking import probe
from tests.mlflow_server import free_port


@pytest.mark.parametrize(
    ("uri", "what", "fix"),
    [
        ("mlflow.svc:5000", "no scheme", "did you mean http://mlflow.svc:5000?"),
        ("localhost:5000/mlflow", "no scheme", "did you mean http://localhost:5000/mlflow?"),
        ("/data/mlruns", "plain folder", "did you mean sqlite:////data/mlruns/mlflow.db?"),
        ("file:///data/mlruns", "plain folder", "did you mean sqlite:////data/mlruns/mlflow.db?"),
        ("mlruns", "plain folder", "did you mean sqlite:///mlruns/mlflow.db?"),
        ("ftp://host/x", "scheme is not supported", ""),
        ("http:///x", "names no host", ""),
        ("http://host:port", "not a URL", ""),
        ("sqlite://", "names no file", ""),
    ],
)
def test_wrong_uris(uri, what, fix):
    with pytest.raises(ConfigError, match=what) as caught:
        probe(uri)
    assert caught.value.fix == fix and caught.value.exit_code == 78


def test_a_closed_port_is_a_service_error():
    with pytest.raises(ServiceError, match="does not answer") as caught:
        probe(f"http://127.0.0.1:{free_port()}")
    assert caught.value.retriable


def test_silence_is_answered_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(ServiceError, match="does not answer"):
            probe(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.5)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("status", "body", "kind", "hint"),
    [
        (401, "", AccessError, "MLFLOW_TRACKING_TOKEN"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", AccessError, "ALLOWED_HOSTS"),
        (404, "nothing here", ConfigError, ""),
        (200, "<html>another service</html>", ConfigError, ""),
        (200, "2.22.0", ConfigError, ""),
        (302, "", ConfigError, ""),
        (503, "starting", ServiceError, ""),
    ],
)
def test_what_other_servers_answer(status, body, kind, hint):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(kind) as caught:
            probe(f"http://127.0.0.1:{server.server_port}/prefix")
        assert hint in caught.value.fix
    finally:
        server.shutdown()
        server.server_close()


def test_what_works_passes(mlflow_uri, sqlite_uri, tmp_path):
    probe(mlflow_uri)
    probe(sqlite_uri)
    probe(f"sqlite:///{tmp_path}/new/folder/mlflow.db")
    assert not (tmp_path / "new").exists()


def test_files_that_cannot_be_a_database(tmp_path):
    (tmp_path / "text").write_text("not a database, " * 100)
    with pytest.raises(ConfigError, match="not a sqlite database"):
        probe(f"sqlite:///{tmp_path}/text")
    with pytest.raises(ConfigError, match="names no file"):
        probe(f"sqlite:///{tmp_path}/text/mlflow.db")
    with pytest.raises(ConfigError, match="names no file"):
        probe(f"sqlite:///{tmp_path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(AccessError, match="cannot be written"):
        probe(f"sqlite:///{tmp_path}/mlflow.db")
