from __future__ import annotations

from pathlib import Path

import pytest

from tests.made.ingesting import Ingestion


@pytest.fixture
def ingest(tmp_path: Path) -> Ingestion:
    return Ingestion(tmp_path)
