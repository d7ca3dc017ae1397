"""The parameters of a pipeline from a command line, as the form of the Kubeflow UI gives them."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from components.lib import modalities
from components.lib.core.errors import UsageError
from components.preflight.settings import load, parse

PIPELINES = ("training", "finetuning", "evaluation")


def add(parser: argparse.ArgumentParser, *, store: str, tracking_uri: str) -> None:
    """Adds the words that name a pipeline and its parameters; the environment comes before these defaults."""
    store = os.environ.get("TRUNKLINE_STORE", store)
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", tracking_uri)
    parser.add_argument("--pipeline", default="training", choices=PIPELINES)
    parser.add_argument("--preset", default="quickstart", help="a file of pipelines/presets")
    parser.add_argument("--branch", default="", help="manifest.json of a branch, for the evaluation pipeline")
    parser.add_argument("--source", default="", help="your own text: a path, s3://, https:// or hf: address")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting that differs"
    )
    parser.add_argument("--skip-unchanged", action="store_true", help="end early if the data is known")
    parser.add_argument("--store", default=store, help="a folder or s3://")
    parser.add_argument("--tracking-uri", default=tracking_uri, help="MLflow")


def read(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters; raises UsageError for words that fit no pipeline."""
    overrides = dict(_override(word) for word in arguments.set)
    if arguments.source:
        overrides = {**_own_source(arguments.source, arguments.preset), **overrides}
    if bool(arguments.branch) != (arguments.pipeline == "evaluation"):
        raise UsageError("the evaluation pipeline, and no other, takes a branch", where="--branch")
    if arguments.skip_unchanged and arguments.pipeline != "training":
        raise UsageError("only the training pipeline reads data", where="--skip-unchanged")
    return {
        **({"branch": arguments.branch} if arguments.branch else {}),
        **({"skip_unchanged": True} if arguments.skip_unchanged else {}),
        "preset": arguments.preset,
        "overrides": overrides,
        "store": arguments.store,
        "tracking_uri": arguments.tracking_uri,
    }


def _override(word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not key or not equals:
        expected = "pretraining.steps=100"
        raise UsageError("an override has the form KEY=VALUE", where="--set", found=word, expected=expected)
    return key, parse(value, f"--set {key}")


def _own_source(source: str, preset: str) -> dict[str, Any]:
    """The user's data under a model name of its own; the preset's tasks are about other data."""
    stem = re.sub(r"\.[a-z]+$", "", source.rstrip("/*").rpartition("/")[2].lower())
    name = re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "own"
    local = Path(source).expanduser()
    address = str(local.resolve()) if local.exists() else source
    fields = modalities.load(str(load(preset).get("modality"))).FIELDS  # called as what they hold
    return {
        "ingestion.sources": [address],
        **{f"ingestion.{role}": name for role, name in fields.items()},
        "ingestion.format": "auto",
        "ingestion.format_options": {},
        "registration.name": f"trunkline-{name}",
        "tasks": [],
    }
