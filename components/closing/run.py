"""Closing: what is left of a run is ended, and its exit record and the index of all runs are written."""

from __future__ import annotations

import os
import sys
import traceback

from components.closing.config import Config
from components.lib.core.errors import TrunklineError


def run(config: Config) -> None:
    """Writes `runs/<run>/exit.json` and `runs/index.html`; ends what a run that failed has left running.

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
    from components.closing import leftovers, notification, outcome
    from components.lib.storage import exit_record
    from components.lib.storage.exit_record.record import describe
    from components.lib.storage.stage import Context, read_records
    from components.lib.storage.store import Store

    store = Store(config.store or os.environ.get("TRUNKLINE_STORE", ""))
    ledger = read_records(Context(store, run_id=config.run_id, stage="closing"))
    seen = outcome.observe(config.run_id)
    status, failure = outcome.judge(config, ledger, seen, exit_record.read(store, config.run_id))
    words = {"state": config.state, "message": config.message, "failure": failure}
    written = exit_record.write(store, config.run_id, ledger, status, **words)
    print(describe(written), flush=True)
    if status != exit_record.SUCCEEDED:
        leftovers.end(store, config.run_id, status, ledger, seen.cluster)
    notification.notify(store, written)
