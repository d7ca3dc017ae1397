import io
import os
import subprocess
import sys

import pytest

from components.lib.core.errors import ServiceError, UsageError
from pipelines import runners
from pipelines.console import Console
from tests.fakes.mlflow_server import free_port
from tests.pipelines.test_console import ended, started

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


@pytest.mark.parametrize(
    ("code", "expected", "says"),
    [
        ("import sys; print('last line'); sys.exit(3)", 70, ["ended without a word", "last line"]),
        (
            "import sys; sys.exit('preflight failed: no room\\n  where: here')",
            70,
            ["preflight failed: no room"],
        ),
        (
            "import sys; print('preflight failed: no room'); print('  fix: more'); sys.exit(73)",
            73,
            ["preflight failed: no room", "fix: more"],
        ),
        ("import os; print('x'); os.kill(os.getpid(), 9)", 75, ["killed by signal 9", "run again"]),
    ],
)
def test_a_stage_that_ends_without_a_word_is_quoted(tmp_path, code, expected, says):
    """Whatever the path to the interpreter; nobody guesses why it ended."""
    root = tmp_path / "it's a $HOME #1"
    console, before = Console(tmp_path / "run.log", io.StringIO()), sys.executable
    with runners.running("processes", root, "run"):
        assert sys.executable == "python3", "what KFP puts into a line of a shell"
        done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=False)
    assert sys.executable == before and str(root) not in os.environ["PATH"]
    console.write(started("preflight") + done.stderr + done.stdout + ended("preflight", "FAILURE"))
    (failed,) = console.failed
    assert failed.code == expected and all(words in str(failed) for words in says), str(failed)
    assert "memory" not in str(failed)
