"""What all tests share: no network, no settings of the user, one thread, an S3 server."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports torch, boto3 or transformers. Sub-processes inherit it.
os.environ |= {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "GLOO_SOCKET_IFNAME": "lo",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI",
             "TRUNKLINE_PRESETS", "TRUNKLINE_STORE"):  # fmt: skip
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Downloads and copies of other runs are not to be seen."""
    os.environ["TRUNKLINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of a real S3 server (moto) on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a new bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    from components.lib.objects.s3 import client

    bucket = f"test-{uuid.uuid4().hex}"
    client().create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's tables, which take seconds to make."""
    from components.lib.tracking import connect

    path = tmp_path_factory.mktemp("sqlite") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """One real MLflow server for the session: take names that no other test takes."""
    from tests.mlflow_server import serving

    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copyfile(empty_database, folder / "server.db")
    with serving(folder) as uri:
        yield uri


# The fault matrix: a test names its rows by a mark; `make faults` ends with a table of rows and results.
ROWS = pytest.StashKey[dict]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = defaultdict(list)
    config.pluginmanager.register(FaultMatrix(config.stash[ROWS]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = (yield).get_result()
    rows = [row for mark in item.iter_markers("fault") for row in mark.args]
    report.user_properties.extend(("fault", row) for row in rows)


class FaultMatrix:
    """Collects the results of rows, from all processes that run tests."""

    def __init__(self, rows: dict) -> None:
        self.rows = rows

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for row in {row for name, row in report.user_properties if name == "fault"}:
                self.rows[row].append((report.outcome, report.duration))

    def pytest_terminal_summary(self, terminalreporter, config: pytest.Config) -> None:
        if not self.rows or config.getoption("-m") != "fault":
            return
        terminalreporter.section("fault matrix")
        for row in sorted(self.rows):
            results = [outcome for outcome, _ in self.rows[row]]
            counts = ", ".join(f"{results.count(kind)} {kind}" for kind in sorted(set(results)))
            seconds = sum(duration for _, duration in self.rows[row])
            terminalreporter.write_line(f"{row}  {counts:<24} {seconds:7.1f} s")
