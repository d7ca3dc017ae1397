"""Closing: the run's ledger -> exit record and index of all runs, on every end."""

from __future__ import annotations

import os
import sys
import traceback

from components.closing.config import Config
from components.lib.core.errors import TrunklineError


def run(config: Config) -> None:
    """Writes `runs/<run>/exit.json` and `runs/index.html`.

    A fault of its own is printed and does not fail the run, whose outcome is decided already.
    """
    try:
        _close(config)
    except TrunklineError as error:
        print(f"closing failed, the run's outcome is not recorded: {error}", file=sys.stderr, flush=True)
    except Exception:
        traceback.print_exc()
        print("closing failed: this is a bug, please report it", file=sys.stderr, flush=True)


def _close(config: Config) -> None:
    from components.closing import index, record, report
    from components.lib.storage.stage import Context, read_records
    from components.lib.storage.store import Store

    store = Store(config.store or os.environ.get("TRUNKLINE_STORE", ""))
    context = Context(store, run_id=config.run_id, stage="closing")
    written = record.write(config, context)
    print(record.describe(written), flush=True)
    report.write(store, written, read_records(context))
    index.write(store)
