"""The training worker: `python -m components.pretraining.train PLACE`, once a process.

It is the one entry point: in the stage's own process, under torchrun, and in the pods of a TrainJob.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from components.lib import modalities
from components.lib.core import heartbeat, plugins
from components.lib.core.errors import TrunklineError, WorkerLost, unexpected
from components.lib.core.hardware import cores
from components.lib.core.settings import from_dict, to_dict
from components.lib.engine import distributed, precision
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.losses import Row
from components.lib.engine.meter import Meter, peak_flops
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order, permuted
from components.lib.engine.parallel import unshard
from components.lib.engine.plan import HeldOut, Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.registry.tracking.run import Tracker, track
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining import budget, output, pictures, replay, trainjob_status, warm_start
from components.pretraining import job as jobs
from components.pretraining.config import MECHANICS, Config
from components.pretraining.job import Job
from components.pretraining.watchdog import end_with_parent

OBJECTIVES = "components.lib.objectives"


def train(place: str) -> None:
    """Trains to the end; the leading process commits the trunk to the store."""
    meter = Meter()
    job = jobs.read(place)
    config = from_dict(Config, job.config, "pretraining")
    torch.set_num_threads(config.threads or max(1, cores() // config.nproc))
    world = distributed.start()
    try:
        _train(job, config, world, meter)
    finally:
        distributed.stop()


def _train(job: Job, config: Config, world: World, meter: Meter) -> None:
    store = Store(job.store)
    tokens = store.resolve(job.tokens)
    samples, validation = _splits(config, store, tokens)
    held_out = HeldOut(validation, _draws(config, len(validation)))

    def measure(config: Config) -> Meter:
        meter = Meter()
        with as_worker_lost():
            _, model, order, plan = _begun(config, store, world, samples)
            plan = replace(plan, quiet=True)
            Run(model, samples, order, plan, world, meter=meter, held_out=held_out).train()
        return meter

    if config.minutes:
        config = budget.fixed(config, store.objects, job.checkpoints, world, measure)
    trunk, model, order, plan = _begun(config, store, world, samples)
    meter.peak = peak_flops(world.device, plan.precision)
    identity = _identity(config, job, order, plan)
    checkpoints = Checkpoints(store.objects, job.checkpoints, identity, world=world)
    context = Context(store, **job.run) if world.leads else Context(store)  # one process speaks for all
    status = trainjob_status.reported(config.steps)
    with track(context, job.key.digest) as tracker, as_worker_lost(), status as tell:
        tracker.params({**to_dict(config), "parameters": sum(p.numel() for p in trunk.parameters())})
        own: dict[str, Any] = {"checkpoints": checkpoints, "meter": meter, "held_out": held_out}
        own["report"] = partial(_report, tracker, tell)
        history = Run(model, samples, order, plan, world, **own).train()
        unshard(model)
        if world.leads:
            measured = {**meter.summary(world.size), "peak_flops_per_second": meter.peak * world.size}
            tracker.history(history)  # what was lost on the way, with a machine perhaps
            tracker.metrics(measured, step=config.steps)
            with store.draft(job.key) as draft:
                draft.facts, draft.measured = _facts(config, store, trunk, history, samples), measured
                output.write(draft, trunk.save, store.open_folder(tokens, "tokenizer/"), history)
                pictures.write(draft, model, trunk, validation, config.seed)
                draft.commit()
            checkpoints.remove()


def _begun(config: Config, store: Store, world: World, samples: Any) -> tuple[Any, WeightedSum, Order, Plan]:
    """Trunk, objectives, order of the data and hyper-parameters as they are before the first step."""
    teachers = warm_start.teachers(store, config.objective, samples)
    torch.manual_seed(config.seed)
    trunk = warm_start.trunk(store, config.start, samples)
    if config.start in modalities.starts(config.modality):
        modalities.load(config.modality, config.start).prepare(samples, trunk)
    plan = _plan(config, world, f"{modalities.load(config.modality).UNIT}s")
    order = replay.order(samples, config.global_batch, config.seed, config.replay)
    return trunk, build(config, trunk, teachers), order, plan


def _splits(config: Config, store: Store, tokens: Manifest) -> tuple[Any, Any]:
    """Samples of both splits, those of the warm start's tokens last."""
    modality, samples = modalities.load(config.modality), modalities.load(config.modality, "samples")
    kind = modalities.load(config.modality, "settings").Pretraining
    options = from_dict(kind, config.trunk, "pretraining.trunk")
    older = warm_start.tokens(store, config.start, tokens, modality.SHARED)
    train, validation = (
        samples.open_split(options, store, tokens, split, *older) for split in ("train", "validation")
    )
    return train, validation


def _report(tracker: Tracker, tell: Callable[[Row], None], row: Row) -> None:
    tell(row)
    tracker.metrics({name: value for name, value in row.items() if name != "step"}, int(row["step"]))


def build(config: Config, trunk: nn.Module, teachers: Mapping[str, Any] | None = None) -> WeightedSum:
    """The objectives of the settings on one trunk; `teachers` are those that some learn from."""
    terms, coefficients = {}, {}
    for name, options in config.objective.items():
        given = dict(options or {})
        coefficients[name] = float(given.pop("weight", 1.0))
        objective = plugins.load(OBJECTIVES, name)
        settings = from_dict(objective.Config, given, f"pretraining.objective.{name}")
        more = (teachers[name],) if teachers and name in teachers else ()
        terms[name] = objective.Objective(settings, trunk, *more)
    return WeightedSum(terms, coefficients)


def _plan(config: Config, world: World, unit: str) -> Plan:
    schedule = Schedule(config.schedule, config.learning_rate, config.steps, config.warmup)
    return Plan(
        schedule,
        precision=precision.resolve(config.precision, world.device),
        optimizer=config.optimizer,
        weight_decay=config.weight_decay,
        betas=(0.9, config.beta2),
        clip=config.clip,
        spike=config.spike,
        micro_batch=config.micro_batch,
        parallel=config.parallel,
        recompute=config.recompute,
        compile=config.compile,
        report_every=max(1, config.steps // 100),
        evaluate_every=config.evaluate_every or max(1, config.steps // 10),
        checkpoint_every=config.checkpoint_every or max(1, config.steps // 20),
        label="pretraining",
        unit=unit,
    )


def _draws(config: Config, available: int) -> tuple[Draw, ...]:
    """The same held-out samples, in batches, at every validation."""
    count = min(config.validation_samples, available)
    places = np.arange(count, dtype=np.int64)
    ids = permuted(places, np.zeros_like(places), available, config.seed)
    parts = np.array_split(ids, -(-count // config.global_batch))
    return tuple(Draw(part, np.zeros_like(part), config.seed, training=False) for part in parts)


def _identity(config: Config, job: Job, order: Order, plan: Plan) -> dict[str, Any]:
    """What a checkpoint and the run that resumes from it must share; the number of processes is not in it."""
    settings = {name: value for name, value in to_dict(config).items() if name not in MECHANICS}
    return {**settings, "precision": plan.precision, "tokens": job.tokens, "samples": order.samples}


def _facts(config: Config, store: Store, trunk: Any, history: list[Row], samples: Any) -> dict[str, Any]:
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
        **({"public": public} if (public := warm_start.published(store, config.start)) else {}),
    }


def _last(history: list[Row], name: str) -> float:
    return next(row[name] for row in reversed(history) if name in row)


@contextmanager
def as_worker_lost() -> Iterator[None]:
    """An error of a collective becomes WorkerLost: another rank failed first."""
    try:
        yield
    except TrunklineError:
        raise
    except Exception as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error):
            found = str(error).partition("\n")[0]
            raise WorkerLost("the other training processes are gone", found=found) from error
        raise


def main(place: str) -> int:
    """Trains; what goes wrong is said on stderr, to the watcher of this machine and by the exit code."""
    end_with_parent()
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # for a watcher that finds this process hanging
    atexit.register(gc.freeze)  # a last garbage collection through all of torch costs a second
    try:
        train(place)
    except Exception as raised:
        error = raised if isinstance(raised, TrunklineError) else unexpected(raised)
        heartbeat.report_error(error)
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    finally:
        heartbeat.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
