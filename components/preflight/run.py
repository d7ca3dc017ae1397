"""Checks a run before any work starts and hands each stage its settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from components.lib.core.errors import AccessError, MissingError, Obstacles, ServiceError
from components.lib.core.patience import patiently
from components.lib.core.settings import ARGUMENT
from components.lib.data import sources
from components.lib.storage.artifacts import sha256
from components.lib.storage.lineage import REFERENCE
from components.lib.storage.stage import STORED, Context, stage
from components.preflight import probes, samples
from components.preflight.checkout import commit
from components.preflight.config import Config
from components.preflight.plan import Plan, resolve
from components.preflight.public_weights.origin import is_reference

NAMED = 300  # characters of the names of sources
NO_TASKS = "the run has no tasks"
SETTLED = ("ingestion", "tokenization", "pretraining", "registration", "promotion")  # stages before the tasks


def run(
    config: Config,
    ingestion: Path,
    tokenization: Path,
    pretraining: Path,
    registration: Path,
    promotion: Path,
) -> list[dict[str, Any]]:
    """Writes the settings of each stage.

    Returns:
        One item a task: its name and the settings of its finetuning and evaluation. Without tasks one that
        its stages pass on, as KFP collects nothing from an empty loop.

    Raises:
        SystemExit: with the code of a typed error, after it was printed and noted in the ledger.
    """
    shared = connections(config)
    outputs = dict(zip(SETTLED, (ingestion, tokenization, pretraining, registration, promotion), strict=True))
    items: list[dict[str, Any]] = []
    with stage("preflight", shared, hub=True) as context:
        plan = resolve(config.preset, config.overrides)
        context.details["sources"] = _named(plan.stages["ingestion"]["sources"])  # of every stage
        for warning in plan.warnings:
            print(f"preflight: warning: {warning}", flush=True)
        probe(context, plan)
        keep(context, plan)
        sample(context, plan)
        _settle(context, plan, config)
        for name, path in outputs.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            (handed,) = _handed(context, name, [{**shared, "config": plan.stages[name]}])
            path.write_text(json.dumps(handed), encoding="utf-8")
        none = {**shared, "passed_on": NO_TASKS}
        items = [{"name": "", "finetuning": none, "evaluation": none}]
        if plan.tasks:
            items = _items(context, plan.tasks, shared)
        print(f"preflight: {', '.join(task['name'] for task in plan.tasks) or 'no tasks'}", flush=True)
    return items


def _settle(context: Context, plan: Plan, config: Config) -> None:
    """What a run starts from becomes references that do not move, and settings follow from it."""
    start = plan.stages["pretraining"]["start"]
    if is_reference(start):
        from components.preflight.public_weights import settling

        settling.settle(context, plan)
    _start(context, plan, config)
    from components.preflight import teachers  # the registry, which not every caller of this module has

    teachers.settle(context, plan)


def _start(context: Context, plan: Plan, config: Config) -> None:
    start = plan.start
    if start or config.skip_unchanged:
        from components.preflight.continuation import settle

        settle(context, plan.stages, skip_unchanged=config.skip_unchanged)
        if REFERENCE.fullmatch(plan.start):
            plan.compare(context.store.resolve(plan.start))


def connections(config: Config) -> dict[str, Any]:
    """The store, the tracking server and the origin of the run: the same for every stage.

    MLFLOW_TRACKING_URI is what KFP's MLflow plugin says, if it is at work, TRUNKLINE_TRACKING_URI what the
    cluster's ConfigMap says.
    """
    details = {"preset": config.preset, "git": commit(), "image": os.environ.get("TRUNKLINE_IMAGE", "")}
    details |= {"run_name": config.run_name} if config.run_name else {}
    if interface := os.environ.get("KF_PIPELINES_UI_ENDPOINT"):
        details["page"] = f"{interface.rstrip('/')}/#/runs/details/{config.run_id}"
    named = (os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "TRUNKLINE_TRACKING_URI"))
    tracking_uri = config.tracking_uri or next(filter(None, named), "")
    run = {"tracking_uri": tracking_uri, "run_id": config.run_id, "details": details}
    return {"store": config.store or os.environ.get("TRUNKLINE_STORE", ""), "run": run}


def probe(context: Context, plan: Plan) -> None:
    """Raises what the store, MLflow and the disk have to complain about; on a laptop, at once."""
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        patiently(lambda: _probe(context, plan), context.stage)
    else:
        _probe(context, plan)


def _probe(context: Context, plan: Plan) -> None:
    found = probes.together(
        {
            "the store": lambda: probes.store(context.store),
            "MLflow": lambda: probes.tracking(context, plan),
            "the disk": lambda: probes.disk(context.store, probes.need(plan.stages["ingestion"]["sources"])),
        }
    )
    context.ledger = "the store" not in found  # each attempt at one that is silent would take a minute
    if len(found) > 1:
        raise Obstacles(found.values())
    for error in found.values():
        raise error
    print(f"preflight: {probes.devices()}", flush=True)


def keep(context: Context, plan: Plan) -> None:
    """Puts the data that other images cannot fetch into the store; raises why it cannot be had."""
    splits = (task["finetuning"].get(split) for task in plan.tasks for split in ("train", "test"))
    labelled = [split["source"] for split in splits if split]
    noted: set[str] = set()
    for uri in (*plan.stages["ingestion"]["sources"], *labelled):
        manifest, reused = sources.keep(uri, context.store) or (None, False)
        if manifest and manifest.reference not in noted:
            noted.add(manifest.reference)
            context.record(manifest, reused=reused)


def sample(context: Context, plan: Plan) -> None:
    """Raises what a few records of each source show to be wrong.

    What only the pods of other stages may reach, by volumes or rights of their own, is told.
    """
    found = samples.look(plan, context.store.uri)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        here = [one for one in found if isinstance(one, AccessError | MissingError | ServiceError)]
        for one in here:
            context.tell(f"seen from preflight's pod: {one}")
        found = [one for one in found if one not in here]
    if len(found) > 1:
        raise Obstacles(found)
    for error in found:
        raise error


def _named(sources: list[str]) -> str:
    """The sources in a text of bounded length: it goes with the settings of every stage."""
    text = ", ".join(sources)
    if len(text) <= NAMED:
        return text
    return f"{text[:NAMED]}... ({len(sources):,} sources, {sha256(text.encode())[:12]})"


def _items(context: Context, tasks: list[dict[str, Any]], shared: dict[str, Any]) -> list[dict[str, Any]]:
    """What the stages of each task get; all of it is one parameter."""
    sections = [
        _handed(context, name, [{**shared, "config": task[name]} for task in tasks], 2)
        for name in ("finetuning", "evaluation")
    ]
    return [
        {"name": task["name"], "finetuning": tuning, "evaluation": scoring}
        for task, tuning, scoring in zip(tasks, *sections, strict=True)
    ]


def _handed(
    context: Context, name: str, settings: list[dict[str, Any]], parts: int = 1
) -> list[dict[str, Any]]:
    """Settings as one of so many parts of a parameter: above its length they go by way of the store.

    However many tasks a run may have, their names and keys fit into one.
    """
    if len(json.dumps(settings)) <= ARGUMENT // parts:
        return settings
    handed = []
    for number, one in enumerate(settings):
        key = f"runs/{context.run_id}/settings.{name}.{number}"
        rest = {part: value for part, value in one.items() if part != "store"}
        context.store.objects.write(key, json.dumps(rest).encode())
        handed.append({"store": one["store"], STORED: key})
    return handed
