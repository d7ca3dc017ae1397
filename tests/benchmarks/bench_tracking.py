"""What metrics cost a step: without a tracker, with MLflow well, dead and hanging, in turns in one process.

    python -m tests.benchmarks.bench_tracking

A step is one of the engine: the model of `bench_training`, 8 texts of 62 tokens. Each reports its row, which
is more often than any preset does.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from components.lib.engine.distributed import ALONE
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.registry.tracking import track
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.benchmarks.bench_engine import PRECISION, model_of
from tests.benchmarks.bench_training import samples, segments
from tests.benchmarks.history import record
from tests.fakes.mlflow_server import serving
from tests.faults.proxy import before

STEPS, TURNS, BATCH, TOKENS = 50, 6, 8, 62


def main() -> None:
    """Prints and records the 99th percentile of a step's time, as ratios to that without a tracker."""
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    torch.set_num_threads(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        uri = stack.enter_context(serving(folder))
        proxy = stack.enter_context(before(uri))
        trackers = {"none": None}
        for kind in ("well", "dead", "hanging"):
            store = Store(str(folder / kind), cache=folder / "cache" / kind)
            context = Context(store, tracking_uri=uri if kind == "well" else proxy.url, stage=kind)
            trackers[kind] = stack.enter_context(track(context, "k", deadline=1.0))
            assert trackers[kind].run_id  # mlflow is imported, the run is there
        times = _times(trackers, proxy)
    reference = np.percentile(times["none"], 99)
    figures = {f"p99 {kind}": float(np.percentile(taken, 99) / reference) for kind, taken in times.items()}
    figures |= {f"p50 {kind}": float(np.median(t) / np.median(times["none"])) for kind, t in times.items()}
    figures["milliseconds of a step"] = float(1e3 * np.median(times["none"]))
    for what, figure in figures.items():
        print(f"{what:<24} {figure:8.3f}")
    record("tracking", figures)


def _times(trackers: dict, proxy) -> dict[str, list[float]]:
    """Seconds of each step, the trackers taking turns."""
    texts = samples([np.resize(text, TOKENS) for text in segments()])  # all steps do the same work
    model, times = model_of(texts), {kind: list[float]() for kind in trackers}
    plan = Plan(Schedule("linear", 1e-3, STEPS, 0.1), precision=PRECISION, quiet=True, report_every=1)
    for turn in range(TURNS):
        for kind, tracker in trackers.items():
            proxy.faults.clear()
            if kind in ("dead", "hanging"):
                proxy.inject("reset" if kind == "dead" else "hang")
            ends = []

            def report(row: dict, tracker=tracker, turn=turn, ends=ends) -> None:
                if tracker is not None:
                    tracker.metrics(row, turn * STEPS + int(row["step"]))
                ends.append(time.perf_counter())

            Run(model, texts, Order(len(texts), BATCH, 0), plan, ALONE, report=report).train()
            times[kind] += np.diff(ends).tolist()
    return times


if __name__ == "__main__":
    main()
