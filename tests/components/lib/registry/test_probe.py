import socket
import time

import pytest

from components.lib.core.errors import ServiceError
from components.lib.registry.tracking import probe


def test_silence_is_answered_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(ServiceError, match="does not answer"):
            probe(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.5)
        assert time.monotonic() - start < 3


def test_what_works_passes(mlflow_uri, sqlite_uri, tmp_path):
    probe(mlflow_uri)
    probe(sqlite_uri)
    probe(f"sqlite:///{tmp_path}/new/folder/mlflow.db")
    assert not (tmp_path / "new").exists()
