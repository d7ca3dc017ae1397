from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.refusal import refused
from tests.made.ingesting import Ingestion

__all__ = ["ingest", "refused"]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingestion:
    return Ingestion(tmp_path)
