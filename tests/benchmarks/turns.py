"""The sides of a comparison take turns in one process, so that noise meets all of them alike."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from components.lib.engine.distributed import ALONE, World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import resolve
from components.lib.engine.trainable import WeightedSum

PRECISION = resolve("auto", torch.device("cpu"))


def turns(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, np.ndarray]:
    """What each side answers, round after round; one round before them warms up."""
    found = [[side() for side in sides.values()] for _ in range(rounds + 1)][1:]
    return dict(zip(sides, np.array(found).T, strict=True))


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long it takes, by the wall or by `time.process_time`."""
    start = clock()
    work()
    return clock() - start


def spread(ratios: np.ndarray) -> dict[str, float]:
    """Of a ratio over rounds."""
    return {"ratio": float(np.median(ratios)), "low": float(ratios.min()), "high": float(ratios.max())}


def run_of(
    model: WeightedSum,
    samples: Any,
    schedule: Schedule,
    batch: int,
    *,
    seed: int = 0,
    precision: str = PRECISION,
    world: World = ALONE,
    report_every: int = 10**9,
    checkpoint_every: int = 0,
    **options: Any,
) -> Run:
    """A run of our engine that tells, measures and saves nothing by itself."""
    plan = Plan(schedule, precision, quiet=True, report_every=report_every, checkpoint_every=checkpoint_every)
    return Run(model, samples, Order(len(samples), batch, seed), plan, world, **options)
