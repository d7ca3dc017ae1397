from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.lib.stage import Context
from components.lib.store import Store


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


@pytest.fixture
def sqlite_uri(tmp_path: Path, empty_database: Path) -> str:
    """Tracking without a server, as on a laptop."""
    path = tmp_path / "runs" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@pytest.fixture
def tracked(tmp_path: Path, sqlite_uri: str) -> Context:
    """A context with a file store and sqlite tracking."""
    details = {"preset": "smoke", "git": "0" * 40, "image": ""}
    store = Store(str(tmp_path / "store"))
    return Context(store, tracking_uri=sqlite_uri, run_id="run-1", stage="registration", details=details)
