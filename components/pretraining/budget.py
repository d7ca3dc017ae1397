"""A training budget in minutes: how many steps fit, by a short measurement on throwaway weights.

The number is decided once and kept beside the checkpoints: a run that resumes, on whatever machine, goes on
with it, so that it ends with the bytes of a run that nobody interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from components.lib import modalities
from components.lib.engine.distributed import World
from components.lib.engine.meter import Meter
from components.lib.storage.objects import Objects
from components.pretraining.config import Config

NAME = "budget.json"
WARM_UP = 2  # steps that compile, allocate and fill caches, and tell nothing
SHARE = 0.04  # of the budget is measured, at most
MOST = 200  # steps measured
RESERVE = 0.03  # of the budget for what was not measured: checkpoints, the commit


def fixed(
    config: Config, objects: Objects, folder: str, world: World, measure: Callable[[Config], Meter]
) -> Config:
    """The settings with the number of steps that fit into `minutes`; all ranks call it and get the same.

    The start of processes, which imports and reads, is not part of the budget.

    Args:
        folder: of the checkpoints of this training.
        measure: trains and validates throwaway weights with the settings it gets, for `steps` of them.
    """
    key = f"{folder}/{NAME}"
    kept = world.broadcast(_kept(objects, key) if world.leads else "")
    if not kept:
        found = _measured(config, world, measure)
        if world.leads:
            objects.write(key, json.dumps(found).encode(), if_absent=True)
            found = json.loads(objects.read(key))  # of two launchers the first has decided
        kept = world.broadcast(json.dumps(found))
    decided = json.loads(kept)
    if world.leads:
        told = f"{config.minutes:g} minutes: {decided['steps']:,} steps of {decided['seconds_a_step']:.3g} s"
        print(f"{told}; pretraining.steps={decided['steps']} repeats this training", flush=True)
    return replace(config, steps=int(decided["steps"]))


def _kept(objects: Objects, key: str) -> str:
    return objects.read(key).decode() if key in objects.keys(key) else ""


def _measured(config: Config, world: World, measure: Callable[[Config], Meter]) -> dict[str, float]:
    budget = 60 * config.minutes
    if config.start in modalities.starts(config.modality):  # weights that the corpus decides, at a price
        config = replace(config, start="")
    warm = measure(replace(config, steps=WARM_UP))
    count = world.broadcast(str(int(SHARE * budget / max(_step(warm), 1e-6))))
    meter = measure(replace(config, steps=min(max(int(count), WARM_UP), MOST)))
    one, validation = _step(meter), meter.lost["evaluation"]
    validations = 11 if not config.evaluate_every else 1
    spent = sum(run.scheduled() - run.lost["startup"] for run in (warm, meter))
    rest = (1 - RESERVE) * (budget - spent) - validations * validation
    if config.evaluate_every:
        one += validation / config.evaluate_every
    return {"steps": max(1, int(rest / one)), "seconds_a_step": one}


def _step(meter: Meter) -> float:
    """Seconds of a step, with the wait for its data and the report of its losses."""
    return (meter.step_seconds + meter.lost["data"] + meter.lost["report"]) / max(meter.steps, 1)
