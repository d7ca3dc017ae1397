import pytest

from components.lib.core.errors import ServiceError, UsageError
from pipelines import runners
from tests.fakes.mlflow_server import free_port

PLACES = {"store": "s3://bucket/x", "tracking_uri": "http://127.0.0.1:5000"}


@pytest.mark.parametrize("runner", runners.RUNNERS)
def test_a_runner_says_what_it_leaves_out(runner):
    assert all(word in runners.says(runner) for word in ("secrets", "volumes", "accelerators", "retries"))


@pytest.mark.parametrize(
    ("name", "value"), [("store", "runs/store"), ("tracking_uri", "sqlite:///runs/mlflow.db")]
)
def test_containers_are_not_sent_to_folders_of_this_machine(name, value):
    runners.check("processes", {**PLACES, name: value})
    runners.check("containers", PLACES)
    with pytest.raises(UsageError, match="no folder"):
        runners.check("containers", {**PLACES, name: value})


def test_without_an_engine_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    with (
        pytest.raises(ServiceError, match="no container engine answers"),
        runners.running("containers", tmp_path / "root", "run"),
    ):
        pass
