from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.lib.stage import Context
from components.lib.store import Store


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
