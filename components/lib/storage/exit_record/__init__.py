"""Exit record of a run: `runs/<run>/exit.json`, the report of a run without tasks, and the index of all runs.

Written by whoever can: success by the last stage that works, anything else by closing. KFP runs closing once,
never again after a Retry, so a stage that ends after it writes the record anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from components.lib.core.errors import MissingError
from components.lib.storage.exit_record import record
from components.lib.storage.store import Store

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"


def write(
    store: Store, run_id: str, ledger: Sequence[record.Record], status: str, **more: Any
) -> record.Record:
    """Makes record, report and index from the ledger.

    Args:
        ledger: what the run's stages noted, in the order of their starts.
        status: one of the above.
        more: `state` and `message`, KFP's own words, and `failure`: of a stage that noted no error itself.
    """
    from components.lib.storage.exit_record import index, report  # jinja2, which who only reads may lack

    written = record.make(store, run_id, ledger, status, **more)
    store.objects.write(_key(run_id), json.dumps(written, indent=1, sort_keys=True).encode())
    report.write(store, written, ledger)
    index.write(store)
    return written


def read(store: Store, run_id: str) -> record.Record | None:
    """The record, None if none was written, or another version wrote it."""
    try:
        found: record.Record = json.loads(store.objects.read(_key(run_id)))
        return found if "status" in found else None
    except (MissingError, ValueError, TypeError):
        return None


def _key(run_id: str) -> str:
    return f"runs/{run_id}/exit.json"
