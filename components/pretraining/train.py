"""The training worker: `python -m components.pretraining.train job.json`, once a process.

It is the one entry point: in the stage's own process, under torchrun, and in the pods of a TrainJob.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib import plugins
from components.lib.config import from_dict, to_dict
from components.lib.engine import distributed, precision
from components.lib.engine.checkpoint import Checkpoints
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.losses import Row
from components.lib.engine.meter import peak_flops
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order, permuted
from components.lib.engine.plan import HeldOut, Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.errors import TrunklineError
from components.lib.stage import Context
from components.lib.store import Store
from components.lib.tracking.run import track
from components.pretraining.config import MECHANICS, Config

OBJECTIVES = "components.pretraining.objectives"


def train(job_path: Path) -> None:
    """Trains to the end and writes model/, history.jsonl and result.json beside the job."""
    job = json.loads(job_path.read_text())
    config = from_dict(Config, job["config"])
    torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // config.nproc))
    world = distributed.start()
    try:
        _train(job, config, world)
    finally:
        distributed.stop()


def _train(job: dict[str, Any], config: Config, world: World) -> None:
    store = Store(job["store"])
    tokens = store.resolve(job["tokens"])
    modality = plugins.load("components.lib.modalities", config.modality)
    options = from_dict(modality.Config, config.trunk, "pretraining.trunk")
    samples = modality.open_split(options, store, tokens, "train")
    torch.manual_seed(config.seed)
    trunk = samples.trunk()
    model = build(config, trunk)
    validation = modality.open_split(options, store, tokens, "validation")
    plan = _plan(config, world)
    order = Order(len(samples), config.global_batch, config.seed)
    checkpoints = Checkpoints(store.objects, job["checkpoints"], _identity(config, job, order, plan))
    context = Context(store, **job["run"]) if world.leads else Context(store)  # one process speaks for all
    with track(context, Path(job["checkpoints"]).name) as tracker:
        tracker.params({**to_dict(config), "parameters": sum(p.numel() for p in trunk.parameters())})
        run = Run(
            model, samples, order, plan, world, checkpoints=checkpoints,
            report=lambda row: tracker.metrics(_without_step(row), int(row["step"])),
            held_out=HeldOut(validation, _draws(config, len(validation))),
        )  # fmt: skip
        history = run.train()
        if world.leads:
            measured = _measured(run, plan, world)
            tracker.metrics(measured, step=config.steps)
            facts = _facts(config, trunk, history, samples)
            tokenizer = store.open_folder(tokens, "tokenizer/")
            _write(Path(job["output"]), trunk, tokenizer, history, facts, measured)


def _without_step(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "step"}


def build(config: Config, trunk: nn.Module) -> WeightedSum:
    """The objectives of the settings on one trunk."""
    terms, coefficients = {}, {}
    for name, options in config.objective.items():
        given = dict(options or {})
        coefficients[name] = float(given.pop("weight", 1.0))
        objective = plugins.load(OBJECTIVES, name)
        settings = from_dict(objective.Config, given, f"pretraining.objective.{name}")
        terms[name] = objective.Objective(settings, trunk)
    return WeightedSum(terms, coefficients)


def _plan(config: Config, world: World) -> Plan:
    schedule = Schedule(config.schedule, config.learning_rate, config.steps, config.warmup)
    return Plan(
        schedule,
        precision=precision.resolve(config.precision, world.device),
        optimizer=config.optimizer,
        weight_decay=config.weight_decay,
        betas=(0.9, config.beta2),
        clip=config.clip,
        micro_batch=config.micro_batch,
        report_every=max(1, config.steps // 100),
        evaluate_every=config.evaluate_every or max(1, config.steps // 10),
        checkpoint_every=config.checkpoint_every or max(1, config.steps // 20),
        label="pretraining",
    )


def _draws(config: Config, available: int) -> tuple[Draw, ...]:
    """The same held-out samples, in batches, at every validation."""
    count = min(config.validation_samples, available)
    places = np.arange(count, dtype=np.int64)
    ids = permuted(places, np.zeros_like(places), available, config.seed)
    parts = np.array_split(ids, -(-count // config.global_batch))
    return tuple(Draw(part, np.zeros_like(part), config.seed, training=False) for part in parts)


def _identity(config: Config, job: dict[str, Any], order: Order, plan: Plan) -> dict[str, Any]:
    """What a checkpoint and the run that resumes from it must share; the number of processes is not in it."""
    settings = {name: value for name, value in to_dict(config).items() if name not in MECHANICS}
    return {**settings, "precision": plan.precision, "tokens": job["tokens"], "samples": order.samples}


def _facts(config: Config, trunk: Any, history: list[Row], samples: Any) -> dict[str, Any]:
    losses = {
        name: _last(history, key) for name, key in (("train", "loss"), ("validation", "validation/loss"))
    }
    return {
        "modality": config.modality,
        "architecture": trunk.model.config.model_type,
        "parameters": sum(parameter.numel() for parameter in trunk.parameters()),
        "objective": config.objective,
        "steps": config.steps,
        "samples": config.steps * config.global_batch,
        "corpus_samples": len(samples),
        "loss": losses,
    }


def _last(history: list[Row], name: str) -> float:
    return next(row[name] for row in reversed(history) if name in row)


def _measured(run: Run, plan: Plan, world: World) -> dict[str, float]:
    summary = run.meter.summary(world.size)
    peak = peak_flops(world.device, plan.precision) * world.size
    return {**summary, "peak_flops_per_second": peak, "mfu": round(summary["flops_per_second"] / peak, 4)}


def _write(
    folder: Path,
    trunk: Any,
    tokenizer: Path,
    history: list[Row],
    facts: dict[str, Any],
    measured: dict[str, float],
) -> None:
    trunk.save(folder / "model")
    shutil.copytree(tokenizer, folder / "model", dirs_exist_ok=True)
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    (folder / "result.json").write_text(json.dumps({"facts": facts, "measured": measured}))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    try:
        train(path)
    except TrunklineError as error:
        path.with_name("status.json").write_text(json.dumps(error.to_dict()))
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
