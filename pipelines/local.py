"""Runs a whole graph on this machine, each stage in a process of its own, as a cluster would run it."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from components.lib.errors import TrunklineError, UsageError
from components.preflight.settings import parse
from pipelines import execution
from pipelines.console import Console

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str] | None = None) -> int:
    """Runs a preset; returns the exit code of the stage that failed, or 0."""
    arguments = _parser().parse_args(words)
    try:
        parameters = _parameters(arguments)
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    _prepare_environment()
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    console = Console(ROOT / "runs" / "logs" / f"{run_id}.log")
    console.line(f"Trunkline {arguments.pipeline}: {arguments.preset}, run {run_id}")
    return execution.run(arguments.pipeline, parameters, run_id, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.local", description=__doc__)
    store, server = ROOT / "runs" / "store", f"sqlite:///{ROOT / 'runs' / 'mlflow.db'}"
    environ = os.environ
    parser.add_argument("--pipeline", default="training", choices=("training", "finetuning", "evaluation"))
    parser.add_argument("--preset", default="quickstart", help="a file of pipelines/presets")
    parser.add_argument("--branch", default="", help="manifest.json of a branch, for the evaluation pipeline")
    parser.add_argument("--source", default="", help="your own text: a path, s3://, https:// or hf: address")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="pretraining.steps=100"
    )
    parser.add_argument(
        "--store", default=environ.get("TRUNKLINE_STORE", str(store)), help="a folder or s3://"
    )
    parser.add_argument("--tracking-uri", default=environ.get("MLFLOW_TRACKING_URI", server), help="MLflow")
    return parser


def _parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters of the pipeline, as the form of the Kubeflow UI would give them."""
    overrides = dict(_override(word) for word in arguments.set)
    if arguments.source:
        overrides = {**_own_source(arguments.source), **overrides}
    if bool(arguments.branch) != (arguments.pipeline == "evaluation"):
        raise UsageError("the evaluation pipeline, and no other, takes a branch", where="--branch")
    return {
        **({"branch": arguments.branch} if arguments.branch else {}),
        "preset": arguments.preset,
        "overrides": overrides,
        "store": arguments.store,
        "tracking_uri": arguments.tracking_uri,
    }


def _override(word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise UsageError(
            "an override has the form KEY=VALUE", where="--set", found=word, expected="pretraining.steps=100"
        )
    return key, parse(value, f"--set {key}")


def _own_source(source: str) -> dict[str, Any]:
    """The user's text under a model name of its own; the preset's tasks are about other data."""
    stem = re.sub(r"\.[a-z]+$", "", source.rstrip("/*").rpartition("/")[2].lower())
    name = re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "own"
    local = Path(source).expanduser()
    address = str(local.resolve()) if local.exists() else source
    return {
        "ingestion.sources": [address],
        "ingestion.text": "text",
        "registration.name": f"trunkline-{name}",
        "tasks": [],
    }


def _prepare_environment() -> None:
    """What the processes of the stages inherit."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    os.environ["TRUNKLINE_LOCAL"] = "1"
    # Else gloo looks up the host's name, which may not resolve.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


if __name__ == "__main__":
    sys.exit(main())
