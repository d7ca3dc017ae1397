from __future__ import annotations

from tests.bad_input.refusal import refused
from tests.components.conftest import sqlite_uri
from tests.components.ingestion.conftest import ingest

__all__ = ["ingest", "refused", "sqlite_uri"]
