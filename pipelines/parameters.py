"""The parameters of a pipeline from a command line, as the form of the Kubeflow UI gives them."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from pathlib import Path
from typing import Any

from components.lib import modalities
from components.lib.core.errors import UsageError
from components.lib.storage.objects import connect
from components.preflight.plan import fits
from components.preflight.settings import load, parse

TESTED = 0.3  # share of a user's labelled records that is frozen, to score by
PIPELINES = ("training", "finetuning", "evaluation")


def add(parser: argparse.ArgumentParser, *, store: str, tracking_uri: str) -> None:
    """Adds the words that name a pipeline and its parameters; the environment comes before these defaults."""
    store = os.environ.get("TRUNKLINE_STORE", store)
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", tracking_uri)
    parser.add_argument("--pipeline", default="training", choices=PIPELINES)
    parser.add_argument("--preset", default="quickstart", help="a file of pipelines/presets")
    parser.add_argument(
        "--branch", default="", help="for the evaluation pipeline: name@alias, or its manifest.json"
    )
    parser.add_argument("--source", default="", help="your own data: a path, s3://, https:// or hf: address")
    parser.add_argument("--labels", default="", help="your own labelled records, for the preset's first task")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting that differs"
    )
    parser.add_argument("--skip-unchanged", action="store_true", help="nothing to do if the data is known")
    parser.add_argument("--store", default=store, help="a folder or s3://")
    parser.add_argument("--tracking-uri", default=tracking_uri, help="MLflow")


def read(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters; raises UsageError for words that fit no pipeline, ConfigError if they are too long."""
    overrides = dict(_override(word) for text in arguments.set for word in words(text))
    overrides = {**_own(arguments), **overrides}
    if bool(arguments.branch) != (arguments.pipeline == "evaluation"):
        what = "the evaluation pipeline, and no other, takes a branch"
        raise UsageError(what, where="--branch", expected="PIPELINE=evaluation BRANCH=name@challenger")
    if arguments.skip_unchanged and arguments.pipeline != "training":
        raise UsageError("only the training pipeline reads data", where="--skip-unchanged")
    given = {
        **({"branch": _manifest(arguments)} if arguments.branch else {}),
        **({"skip_unchanged": True} if arguments.skip_unchanged else {}),
        "preset": arguments.preset,
        "overrides": overrides,
        "store": arguments.store,
        "tracking_uri": arguments.tracking_uri,
    }
    fits(given)
    return given


def _manifest(arguments: argparse.Namespace) -> str:
    """The manifest of a branch, which may also be named by its model and alias."""
    name, at, alias = arguments.branch.rpartition("@")
    if not at or "/" in arguments.branch:
        return str(arguments.branch)
    from components.lib.registry.registered_models import Registry

    place = Registry(arguments.tracking_uri).require(name, alias).reference.partition("#")[0]
    store, key = connect(arguments.store), f"{place}/manifest.json"
    return str(store.local(key) or f"{store.uri}/{key}")


def words(text: str) -> list[str]:
    """KEY=VALUE, as many as there are: blanks part them where another KEY= follows, outside of brackets."""
    found, depth = [""], 0
    for part in re.split(r"(\s+)", text.strip()):
        if depth <= 0 and re.match(r"[a-z][\w.-]*=", part):
            found.append("")
        depth += sum(map(part.count, "[{(")) - sum(map(part.count, "]})"))
        found[-1] += part
    return [word.strip() for word in found if word.strip()]


def _override(word: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if not key or not equals:
        expected = "pretraining.steps=100 finetuning.seeds=[0, 1]"
        raise UsageError("an override has the form KEY=VALUE", where="--set", found=word, expected=expected)
    return key, parse(value, f"--set {key}")


def _own(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a user's own data change: the preset's tasks are about other data, and so is its model's name."""
    changed: dict[str, Any] = {}
    if named := arguments.source or arguments.labels:
        stem = re.sub(r"\.[a-z]+$", "", named.rstrip("/*").rpartition("/")[2].lower())
        changed["registration.name"] = f"trunkline-{_slug(stem)}"
        changed["tasks"] = []
    if arguments.source:
        fields = modalities.load(str(load(arguments.preset).get("modality"))).FIELDS
        changed["ingestion.sources"] = [_address(arguments.source)]
        changed |= {f"ingestion.{role}": name for role, name in fields.items()}  # called as what they hold
        changed |= {"ingestion.format": "auto", "ingestion.format_options": {}, "ingestion.group": ""}
    if arguments.labels:
        changed |= _own_labels(arguments.labels, arguments.preset)
    return changed


def _slug(stem: str) -> str:
    """Letters and digits of ASCII; names of other letters stay apart by a digest of them."""
    slug = re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "own"
    return slug if stem.isascii() else f"{slug}-{hashlib.sha256(stem.encode()).hexdigest()[:6]}"


def _own_labels(labels: str, preset: str) -> dict[str, Any]:
    """The preset's first task on the user's labelled records, a part of which is never trained on."""
    tasks = load(preset).get("tasks")
    if not tasks:
        expected = "a preset with a task, or tasks of your own in a preset"
        raise UsageError("the preset has no task to learn from labels", where="--labels", expected=expected)
    task, source = f"tasks.{tasks[0]['name']}", _address(labels)
    return {
        "tasks": [tasks[0]["name"]],
        f"{task}.train": {"source": source},
        f"{task}.test": {"source": source, "share": TESTED},
    }


def _address(source: str) -> str:
    """An absolute path where it is one: the stages run elsewhere."""
    local = Path(source).expanduser()
    return str(local.resolve()) if local.exists() else source
