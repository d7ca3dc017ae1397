"""How fast SimCLR trains: our engine against lightly's example path (see simclr.py), turn by turn.

    V/bin/python -m tests.benchmarks.bench_images

By wall clock with all cores: ours with a thread a core; lightly with the DataLoader workers that its examples
have (8) and with one a core, of which the faster counts. By CPU-seconds: one thread, no workers. Where
lightly is not installed, our side is measured alone; with kornia, augmentation is measured against it too.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from components.lib.engine.randomness import Draw
from components.lib.modalities.image.augmentation import apply, recipe
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from tests.benchmarks.history import record
from tests.benchmarks.imagesets import Missing, fashion
from tests.benchmarks.pretext import Shards
from tests.benchmarks.simclr import BATCH, CROP, INSTALLED, JITTER, PRECISION, images, ours, theirs

STEPS, ROUNDS, EXAMPLES = 20, 3, 8
CORES = os.cpu_count() or 1


def by_wall() -> dict[str, float]:
    """Images a second with all cores, interleaved; the ratio is the median over rounds."""
    sides = {"ours": ours()[1]}
    if INSTALLED:
        sides |= {f"lightly_{n}_workers": theirs(workers=n)[1] for n in sorted({CORES, EXAMPLES})}
    return _compared(sides, lambda turn: turn(STEPS), "wall")


def by_cpu() -> dict[str, float]:
    """Images a CPU-second of one thread; lightly in our precision and in fp32, of which the faster counts."""
    torch.set_num_threads(1)
    sides = {"ours": ours()[1]}
    if INSTALLED:
        sides |= {f"lightly_{name}": theirs(precision=name)[1] for name in {PRECISION, "fp32"}}

    def seconds(turn: Callable[[int], float]) -> float:
        before = time.process_time()
        turn(STEPS)
        return time.process_time() - before

    return _compared(sides, seconds, "cpu")


def augmentation_share() -> float:
    """The share of a step that goes to augmentation, in CPU-seconds of one thread."""
    torch.set_num_threads(1)
    samples, draw = images(), _draw()
    views = samples.views(draw, 2)
    turn, shares = ours()[1], []
    turn(2)
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(STEPS):
            for number, view in enumerate(views):
                recipe(samples.strength, draw, f"view {number}", 1)
                view.pixels()
        middle = time.process_time()
        turn(STEPS)
        shares.append((middle - start) / (time.process_time() - middle))
    return float(np.median(shares))


def against_kornia() -> float:
    """How many times as fast as kornia the same augmentations are, colour images of 32 pixels."""
    import kornia.augmentation as kornia

    theirs = nn.Sequential(
        kornia.RandomResizedCrop((32, 32), scale=(CROP, 1.0)), kornia.RandomHorizontalFlip(),
        kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), kornia.RandomGrayscale(p=0.2),
    )  # fmt: skip
    batch, draw = torch.rand(BATCH, 3, 32, 32), _draw()
    strength = Images(
        Pretraining(crop=CROP, jitter=JITTER), Shards(np.zeros((1, 32, 32, 3), np.uint8))
    ).strength
    ratios = []
    for _ in range(7):
        start = time.perf_counter()
        apply(batch, recipe(strength, draw, "v", 3))
        middle = time.perf_counter()
        theirs(batch)
        ratios.append((time.perf_counter() - middle) / (middle - start))
    return float(np.median(ratios))


def _compared(
    sides: dict[str, Callable[[int], float]], seconds: Callable[[Callable[[int], float]], float], unit: str
) -> dict[str, float]:
    for turn in sides.values():
        turn(2)
    taken = np.array([[seconds(turn) for turn in sides.values()] for _ in range(ROUNDS)])
    rates = np.median(STEPS * BATCH / taken, axis=0)
    figures = {
        f"images_per_{unit}_second_{side}": float(rate) for side, rate in zip(sides, rates, strict=True)
    }
    if len(sides) > 1:
        figures[f"times_lightly_{unit}"] = float(np.median(taken[:, 1:].min(axis=1) / taken[:, 0]))
    return figures


def _draw() -> Draw:
    return Draw(np.arange(BATCH, dtype=np.int64), np.zeros(BATCH, dtype=np.int64), 0)


def main() -> None:
    """Prints the figures and adds them to the history."""
    try:
        fashion()
    except Missing as missing:
        print(f"skipped: {missing}")
        return
    figures = {"precision": PRECISION, "cores": CORES, "torch": torch.__version__, **by_wall(), **by_cpu()}
    figures["augmentation_share"] = augmentation_share()
    if importlib.util.find_spec("kornia"):
        figures["augmentation_times_kornia"] = against_kornia()
    for name, value in figures.items():
        print(f"{name:44} {value:.4g}" if isinstance(value, float) else f"{name:44} {value}")
    record("images", figures)


if __name__ == "__main__":
    main()
