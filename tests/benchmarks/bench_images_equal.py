"""What SimCLR learns in equal CPU-seconds: our trunk against lightly's (see simclr.py), by a linear probe.

    V/bin/python -m tests.benchmarks.bench_images_equal

How many steps each side makes in the budget is measured once, turn by turn, on one thread and without
workers; then each of five seeds trains both and probes them on the same labels.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import torch

from tests.benchmarks import probing
from tests.benchmarks.history import record
from tests.benchmarks.imagesets import Missing, fashion
from tests.benchmarks.pretext import SEEDS
from tests.benchmarks.simclr import BATCH, INSTALLED, PRECISION, images, ours, theirs

BUDGET, COUNTS, DRAWS = 20.0, (100, 500), 4
SIDES = {"ours": ours, "lightly": partial(theirs, rate=2e-3)}  # lightly's best of 2e-3, 4e-3 and 8e-3 here


def paces() -> dict[str, float]:
    """CPU-seconds of a step of each side: medians of interleaved turns."""
    turns = {name: side()[1] for name, side in SIDES.items()}
    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(4):
        for name, turn in turns.items():
            before = time.process_time()
            turn(10)
            taken[name].append((time.process_time() - before) / 10)
    return {name: float(np.median(values[1:])) for name, values in taken.items()}


def probed(trunk: Any, seed: int) -> list[float]:
    """Accuracy at each count of labels."""
    return probing.curve(trunk, images().frame, fashion(), COUNTS, range(seed * DRAWS, (seed + 1) * DRAWS))


def main() -> None:
    """Prints a line a count and adds the figures to the history."""
    try:
        fashion()
    except Missing as missing:
        print(f"skipped: {missing}")
        return
    if not INSTALLED:
        print("skipped: lightly is not installed here; simclr.py says how to make its environment")
        return
    torch.set_num_threads(1)
    steps = {name: round(BUDGET / pace) for name, pace in paces().items()}
    found: dict[str, list[list[float]]] = {name: [] for name in SIDES}
    spent = dict.fromkeys(SIDES, 0.0)
    for seed in range(SEEDS):
        for name, side in SIDES.items():
            trunk, turn = side(seed)
            before = time.process_time()
            turn(steps[name])
            spent[name] += (time.process_time() - before) / SEEDS
            found[name].append(probed(trunk, seed))
            print(f"seed {seed} {name:8} {steps[name]} steps {found[name][-1]}", flush=True)
    figures: dict[str, Any] = {"budget": BUDGET, "precision": PRECISION, "steps": steps, "cpu_seconds": spent}
    accuracy = {name: np.array(values) for name, values in found.items()}
    for place, count in enumerate(COUNTS):
        gain = probing.Gain.of(*(values[:, place] for values in accuracy.values()))
        figures[f"labels_{count}"] = gain.figures(*SIDES)
        print(f"{count} labels, ours / lightly: {gain}")
    record("images_equal_seconds", figures | {"batch": BATCH})


if __name__ == "__main__":
    main()
