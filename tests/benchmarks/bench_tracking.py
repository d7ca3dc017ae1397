"""What metrics cost a step: without a tracker, with MLflow well, dead and hanging, in turns in one process.

    python -m tests.benchmarks.bench_tracking

A step is one of the engine: the model of `bench_training`, 8 texts of 62 tokens. Each reports its row, which
is more often than any preset does.
"""

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.lib.engine.optimization import Schedule
from components.lib.registry.tracking import track
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests.benchmarks.bench_training import model_of, samples, segments
from tests.benchmarks.history import record, sized
from tests.benchmarks.turns import run_of
from tests.fakes.mlflow_server import serving
from tests.faults.proxy import before

BATCH, TOKENS, (STEPS, TURNS) = 8, 62, sized((50, 6), (4, 1))
FAULTS = {"dead": "reset", "hanging": "hang"}


def main() -> None:
    """Prints and records the 99th percentile of a step's time, as ratios to that without a tracker."""
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": sized("5", "1")}
    torch.set_num_threads(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        uri = stack.enter_context(serving(folder))
        proxy = stack.enter_context(before(uri))
        trackers = {"none": None}
        for kind in ("well", *FAULTS):
            store = Store(str(folder / kind), cache=folder / "cache" / kind)
            context = Context(store, tracking_uri=proxy.url if kind in FAULTS else uri, stage=kind)
            trackers[kind] = stack.enter_context(track(context, "k", deadline=1.0))
            assert trackers[kind].run_id  # mlflow is imported, the run is there
        times = _times(trackers, proxy)
    figures = {
        f"p{share} {kind}": float(np.percentile(taken, share) / np.percentile(times["none"], share))
        for share in (99, 50)
        for kind, taken in times.items()
    }
    figures["milliseconds of a step"] = float(1e3 * np.median(times["none"]))
    for what, figure in figures.items():
        print(f"{what:<24} {figure:8.3f}")
    record("tracking", figures)


def _times(trackers: dict[str, Any], proxy: Any) -> dict[str, list[float]]:
    """Seconds of each step, the trackers taking turns."""
    texts = samples([np.resize(one, TOKENS) for one in segments(512)])  # all steps do the same work
    model, times = model_of(texts), {kind: list[float]() for kind in trackers}
    for turn in range(TURNS):
        for kind, tracker in trackers.items():
            proxy.faults.clear()
            if kind in FAULTS:
                proxy.inject(FAULTS[kind])
            ends = []

            def report(row: dict, tracker=tracker, turn=turn, ends=ends) -> None:
                if tracker is not None:
                    tracker.metrics(row, turn * STEPS + int(row["step"]))
                ends.append(time.perf_counter())

            schedule = Schedule("linear", 1e-3, STEPS, 0.1)
            run_of(model, texts, schedule, BATCH, report_every=1, report=report).train()
            times[kind] += np.diff(ends).tolist()
    return times


if __name__ == "__main__":
    main()
