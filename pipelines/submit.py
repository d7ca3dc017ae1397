"""Starts a run on a cluster: publishes the pipeline if its content is new, and waits if asked to."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tenacity

from components.lib.core.errors import Interrupted, MissingError, ServiceError, TrunklineError
from components.lib.storage.store import Store
from components.preflight.plan import resolve
from pipelines import compile, parameters
from pipelines.cluster import load
from pipelines.kubeflow import Kubeflow, silent
from pipelines.waiting import Waiting

EXPERIMENT = "trunkline"
FAILED, TOLD_TO_STOP = 70, Interrupted.exit_code
ENDS = {"SUCCEEDED": 0, "SKIPPED": 0, "FAILED": FAILED, "CANCELED": TOLD_TO_STOP}
PATIENCE = 10  # questions in a row that may go unanswered


def main(words: list[str] | None = None) -> int:
    """Submits; returns 0, or with `--wait` the exit code of the run."""
    arguments = _parser().parse_args(words)
    try:
        given = parameters.read(arguments)
        resolve(given["preset"], given["overrides"])  # wrong settings are told before a pod starts
        server = Kubeflow(arguments.endpoint)
        run_id = submit(server, arguments.pipeline, given)
        print(server.page(run_id), flush=True)
        return _wait(server, run_id, given["store"], arguments.every) if arguments.wait else 0
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def submit(server: Kubeflow, pipeline: str, given: dict[str, Any]) -> str:
    """Publishes the pipeline and starts a run of exactly this content; returns the run's id."""
    pipeline_id, version_id = publish(server, pipeline)
    with silent():
        run = server.run_pipeline(
            experiment_id=server.create_experiment(EXPERIMENT).experiment_id,
            job_name=f"{given['preset']} {time.strftime('%Y-%m-%d %H:%M:%S')}",
            params=given,
            pipeline_id=pipeline_id,
            version_id=version_id,
            service_account=load().service_account or None,
        )
    return str(run.run_id)


def publish(server: Kubeflow, pipeline: str) -> tuple[str, str]:
    """Compiles a pipeline and makes it a version, unless it is one; returns the ids of both."""
    text = compile.text(pipeline)
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        path = Path(folder) / f"{pipeline}.yaml"
        path.write_text(text, encoding="utf-8")
        name, version = f"{compile.PREFIX}{pipeline}", compile.version(text)
        return server.publish(name, path, version, compile.description(pipeline))


def _wait(server: Kubeflow, run_id: str, store: str, every: float) -> int:
    """Prints each new state; returns the exit code of the stage that failed, or one of KFP's state."""
    patient = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ServiceError),
        wait=tenacity.wait_fixed(every),
        stop=tenacity.stop_after_attempt(PATIENCE),
        reraise=True,
    )
    seen, waiting = "", Waiting(server.namespace)
    while seen not in ENDS:
        time.sleep(every if seen else 0)
        run = patient(server.get_run, run_id)
        state = str(run.state or "PENDING")
        if state != seen:
            print(f"{time.strftime('%H:%M:%S')} {state.lower()}", flush=True)
        seen = state
        waiting.tell(run)
    last = [one.state for one in run.state_history or ()][-2:]
    if "CANCELING" in last:  # a run that somebody terminates ends as FAILED
        return TOLD_TO_STOP
    return _exit_code(store, run_id) if seen == "FAILED" else ENDS[seen]


def _exit_code(store: str, run_id: str) -> int:
    """What the stage that failed said, where the store can be read from here."""
    try:
        record = json.loads(Store(store).objects.read(f"runs/{run_id}/exit.json"))
    except (TrunklineError, ValueError) as error:
        reason = "has none" if isinstance(error, MissingError) else "cannot be read from here"
        print(f"why: see the page of the run; the store {reason}", file=sys.stderr)
        return FAILED
    failure = record.get("failure") or {}
    said = failure.get("error", {})
    print(f"{failure.get('stage', 'the run')} failed: {said.get('what', '')}", file=sys.stderr)
    return int(said.get("exit_code", FAILED))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.submit", description=__doc__)
    # Empty: the cluster's own, from the variables that its file names.
    parameters.add(parser, store="", tracking_uri="")
    endpoint = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    parser.add_argument("--endpoint", default=endpoint, help="of Kubeflow Pipelines")
    parser.add_argument("--wait", action="store_true", help="until the run ends")
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two questions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
