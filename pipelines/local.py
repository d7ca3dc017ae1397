"""Runs a whole graph on this machine, each stage in a process of its own, as a cluster would run it."""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from components.lib.core.errors import TrunklineError
from pipelines import execution, parameters, runners
from pipelines.console import Console

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str] | None = None) -> int:
    """Runs a preset; returns the exit code of the stage that failed, or 0."""
    arguments = parser().parse_args(words)
    try:
        given = parameters.read(arguments)
        runners.check(arguments.runner, given)
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return run(arguments, given)[0]


def run(arguments: argparse.Namespace, given: dict[str, Any]) -> tuple[int, str]:
    """Runs a pipeline with the given parameters; returns its exit code and the id of the run."""
    _prepare_environment(arguments.runner)
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    console = Console(ROOT / "runs" / "logs" / f"{run_id}.log")
    console.line(f"Trunkline {arguments.pipeline}: {arguments.preset}, run {run_id}")
    console.line(f"  {runners.says(arguments.runner)}")
    return execution.run(arguments.pipeline, given, run_id, console, arguments.runner), run_id


def parser() -> argparse.ArgumentParser:
    """The words of the command line."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.local", description=__doc__)
    path = str(ROOT / "runs" / "mlflow.db").replace("%", "%25").replace("?", "%3F")
    parameters.add(parser, store=str(ROOT / "runs" / "store"), tracking_uri=f"sqlite:///{path}")
    parser.add_argument("--runner", default="processes", choices=runners.RUNNERS, help="of the stages")
    return parser


def _prepare_environment(runner: str) -> None:
    """What the processes of the stages inherit."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    os.environ["TRUNKLINE_LOCAL"] = runner
    # Else gloo looks up the host's name, which may not resolve.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


if __name__ == "__main__":
    sys.exit(main())
