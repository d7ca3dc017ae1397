"""What all tests share: no network, no settings of the user, one thread, an S3 server."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from components.lib.storage.store import Store

if TYPE_CHECKING:
    from tests.made.ingesting import Ingestion

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
    "TRUNKLINE_PATIENCE": "20",
}
UNSET = "AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 MLFLOW_RUN_ID MLFLOW_TRACKING_URI TRUNKLINE_PRESETS"
for name in (*UNSET.split(), "TRUNKLINE_STORE"):
    os.environ.pop(name, None)


ROOT = Path(__file__).resolve().parents[1]
# Files of few tests that take long: they begin first, or one worker ends with them alone.
LONGEST = (
    *("tests/vectors_package/", "tests/pipelines/", "tests/faults/", "tests/components/pretraining/"),
    *("tests/components/finetuning/", "tests/components/lib/test_", "tests/components/lib/registry/"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: next((order[n] for n in order if item.nodeid.startswith(n)), len(order)))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes name no test: gzip writes the second into them, and each worker makes its own."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Downloads and copies of other runs are not to be seen."""
    os.environ["TRUNKLINE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """Where models compute: on the CPU, or in `tests.accelerator.rerun` on the card."""
    if not os.environ.get("TRUNKLINE_TEST_DEVICE"):
        yield
        return
    from tests.accelerator import computing

    with computing():
        yield


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """MLflow makes a database in the working directory where nobody tells it where to track."""
    kept = {path: path.exists() for path in (ROOT / "mlflow.db", ROOT / "mlruns")}
    yield
    assert kept == {path: path.exists() for path in kept}, "this test, or one beside it, has left something"


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
    from components.lib.storage.objects.s3 import client

    bucket = f"test-{uuid.uuid4().hex}"
    client().create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store on disk."""
    return Store(str(tmp_path / "store"), cache=tmp_path / "cache")


@pytest.fixture
def ingest(tmp_path: Path) -> Ingestion:
    """Runs ingestion on made-up files, against one store."""
    from tests.made.ingesting import Ingestion

    return Ingestion(tmp_path)


@pytest.fixture(params=["file", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store on disk, and one on S3."""
    place = tmp_path / "store" if request.param == "file" else request.getfixturevalue("s3") + "/team"
    return Store(str(place), cache=tmp_path / "cache")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sqlite file with MLflow's tables, which take seconds to make."""
    from components.lib.registry.tracking import connect

    path = tmp_path_factory.mktemp("sqlite") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_uri(tmp_path: Path, empty_database: Path) -> str:
    """Tracking without a server, as on a laptop."""
    path = tmp_path / "runs" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """One real MLflow server for the session: take names that no other test takes."""
    from tests.fakes.mlflow_server import serving

    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copyfile(empty_database, folder / "server.db")
    with serving(folder) as uri:
        yield uri


def pytest_configure(config: pytest.Config) -> None:
    from tests.faults.matrix import Matrix

    config.pluginmanager.register(Matrix())
