"""`python -m components.lib.registry.retention`: lists what nothing in the store needs; --delete frees it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from components.lib.core.errors import TrunklineError
from components.lib.registry.registered_models import Registry
from components.lib.registry.retention import Policy, collect
from components.lib.registry.retention.marking import DAY
from components.lib.storage.store import Store


def main(words: list[str] | None = None) -> int:
    """One collection; returns 0, or the exit code of a typed error."""
    arguments = _parser().parse_args(words)
    policy = Policy(
        keep=arguments.keep_days * DAY,
        grace=arguments.grace_days * DAY,
        delete=arguments.delete,
        unregistered=arguments.nothing_registered,
    )
    store = Store(arguments.store)
    try:
        report = collect(store, Registry(arguments.tracking_uri), policy)
        if arguments.jobs:
            from components.lib.kubernetes.api import Cluster
            from components.lib.registry.retention import orphans

            orphans.end(store, Cluster(), report, time.time())
    except TrunklineError as error:
        print(f"retention failed, nothing more was deleted: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(report.to_dict(), indent=1) if arguments.json else report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.lib.registry.retention", description=__doc__)
    environ = os.environ
    parser.add_argument("--store", default=environ.get("TRUNKLINE_STORE", ""), help="a folder or s3://")
    parser.add_argument("--tracking-uri", default=environ.get("MLFLOW_TRACKING_URI", ""), help="MLflow")
    parser.add_argument("--keep-days", type=_days, default=30.0, help="outputs of runs are kept so long")
    parser.add_argument("--grace-days", type=_days, default=7.0, help="what is hidden waits so long")
    parser.add_argument("--delete", action="store_true", help="else nothing is changed")
    parser.add_argument(
        "--nothing-registered", action="store_true", help="the registry may name nothing of this store"
    )
    parser.add_argument(
        "--jobs", action="store_true", help="of this store's TrainJobs too, in this namespace"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON, with every name")
    return parser


def _days(word: str) -> float:
    days = float(word)
    if not days >= 1:
        raise argparse.ArgumentTypeError("at least 1 day: runs that are under way need what they just made")
    return days


if __name__ == "__main__":
    sys.exit(main())
