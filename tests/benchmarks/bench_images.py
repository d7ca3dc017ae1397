"""What visual objectives buy on Fashion-MNIST, and how fast SimCLR is beside lightly's example path.

    python -m tests.benchmarks.bench_images [speed] [equal] [contrastive byol ...]     all, if none is named

An objective: a trunk by its recipe against the random weights that it started from, by a linear probe, and
for some by full fine-tuning with 1 % of the labels: all weights learn, with the same steps and batch from
both starts, each at the rate that does best on a quarter of its labels when it learns from the others. A
seed draws the weights, the order and the labels; seeds run side by side with a thread each.

`speed`: by wall clock with all cores, ours with a thread a core; lightly with the DataLoader workers that
its examples have (8) and with one a core, of which the faster counts. By CPU-seconds: one thread, no
workers; and the share of a step that goes to augmentation; with kornia installed, how long that takes for
the same. `equal`: what both learn in equal CPU-seconds. Where lightly is not installed (see
lightly_peer.py), ours is timed alone.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.utils import logging

from components.lib.engine.optimization import Schedule
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.augmentation import apply, recipe
from components.lib.modalities.image.canvas import Canvas
from components.lib.modalities.image.examples import ImageSet
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from components.lib.models import classifiers
from components.lib.tasks import image_classification as task
from tests.benchmarks.history import record, sized
from tests.benchmarks.imagesets import SETS, Missing, fashion
from tests.benchmarks.lightly_peer import INSTALLED, Peer
from tests.benchmarks.probing import COUNTS, gain, probed, subset, told
from tests.benchmarks.recipes import RECIPES, Ours, shards
from tests.benchmarks.turns import PRECISION, run_of, seconds, turns
from tests.made.in_memory import Arrays, draw

CORES, EXAMPLES = os.cpu_count() or 1, 8  # threads; DataLoader workers of lightly's examples
STEPS, ROUNDS, SEEDS, BUDGET = sized((20, 3, 5, 20.0), (2, 1, 2, 0.5))  # a turn; CPU-seconds
LABELS, HELD_OUT, TUNING, RATES = sized((600, 150, 200, (3e-4, 1e-3, 3e-3, 1e-2)), (40, 10, 2, (1e-3,)))


def tuned(trunk: Any, seed: int) -> tuple[float, float]:
    """Chosen rate and test accuracy of full fine-tuning on Fashion-MNIST."""
    data, pixels = fashion(), shards("fashion")
    canvas = Canvas(28, 28, 1, mean=tuple(pixels.mean), std=tuple(pixels.std))
    chosen = subset(data.labels, LABELS, seed)
    known, held_out, learnt = (
        ImageSet(data.images[part], data.labels[part], canvas)
        for part in (chosen[HELD_OUT:], chosen[:HELD_OUT], chosen)
    )
    rate = max(RATES, key=lambda rate: fitted(trunk, rate, known, held_out, seed))
    return rate, fitted(trunk, rate, learnt, ImageSet(data.test_images, data.test_labels, canvas), seed)


def fitted(trunk: Any, rate: float, known: ImageSet, tested: ImageSet, seed: int) -> float:
    """Accuracy of a classifier that starts from the trunk and learns from all of `known`."""
    torch.manual_seed(seed)
    names = [str(number) for number in range(10)]
    model = task.model(trunk.model.config, names)
    classifiers.start_from(model, trunk.model)
    term = WeightedSum({"task": task.Objective(model)}, {"task": 1.0})
    run_of(term, known, Schedule("linear", rate, TUNING, 0.1), sized(32, 8), seed=seed).train()
    found = task.outcomes(model, tested, names, 500)
    return float(np.mean(found["prediction"] == found["label"]))


def measured(name: str, seed: int) -> dict[str, Any]:
    """CPU-seconds of a training, and what its trunk and the random one score."""
    kind, random, side = RECIPES[name], Ours(name, seed), Ours(name, seed)
    cost = seconds(partial(side.turn, sized(kind.steps, 2)), time.process_time)
    trunks, frame, data = (
        {"trunk": side.trunk, "random": random.trunk},
        side.samples.frame,
        SETS[kind.probed](),
    )
    found: dict[str, Any] = {start: probed(trunk, frame, data, seed) for start, trunk in trunks.items()}
    found["tuned"] = {start: tuned(trunk, seed) for start, trunk in trunks.items() if kind.tuned}
    return {**found, "seconds": cost}


def objective(name: str, pool: ProcessPoolExecutor) -> None:
    """Prints and records what an objective buys."""
    SETS[RECIPES[name].data]()
    runs, starts = list(pool.map(measured, [name] * SEEDS, range(SEEDS))), ("trunk", "random")
    cost = float(np.mean([run["seconds"] for run in runs]))
    rate = RECIPES[name].steps * RECIPES[name].batch / cost
    figures = {"objective": name, "data": RECIPES[name].data, "seeds": SEEDS, "cpu_seconds": cost}
    figures["images_per_cpu_second"] = rate
    for place, count in enumerate(COUNTS):
        figures[f"labels_{count}"] = gain(*([run[start][place] for run in runs] for start in starts), starts)
    cells = [f"{count}: {told(figures[f'labels_{count}'])}" for count in COUNTS]
    print(f"{name:13} {cost:5.1f} CPU-s {rate:7,.0f} images/CPU-s  {'  '.join(cells)}", flush=True)
    record("images_objectives", figures)
    if RECIPES[name].tuned:
        rates, scores = ([[run["tuned"][s][i] for run in runs] for s in starts] for i in (0, 1))
        figures = {"objective": name, "labels": LABELS, "rates": [float(np.median(part)) for part in rates]}
        figures |= gain(*scores, starts)
        print(f"{name:13} fine-tuned {told(gain(*scores, starts))}, rates {figures['rates']}", flush=True)
        record("images_finetuning", figures)


def peer(seed: int = 0, rate: float = 4e-3, precision: str = PRECISION, workers: int = 0) -> Peer:
    """lightly's side of our recipe."""
    samples, batch = Ours("contrastive").samples, RECIPES["contrastive"].batch
    torch.manual_seed(seed)
    return Peer(samples, batch, rate, 0.1, precision, workers)


def speed() -> None:
    """Prints and records images a second, by wall clock and by CPU."""
    torch.set_num_threads(CORES)
    figures: dict[str, Any] = {"precision": PRECISION, "cores": CORES, "torch": torch.__version__}
    sides: dict[str, Any] = {"ours": Ours("contrastive")}
    peers = {f"lightly_{n}_workers": partial(peer, workers=n) for n in sorted({CORES, EXAMPLES})}
    sides |= {name: side() for name, side in peers.items() if INSTALLED}
    figures |= _rates({name: partial(side.turn, STEPS) for name, side in sides.items()}, "wall")
    torch.set_num_threads(1)
    peers = {f"lightly_{name}": partial(peer, precision=name) for name in {PRECISION, "fp32"}}
    sides = {"ours": Ours("contrastive"), **{name: side() for name, side in peers.items() if INSTALLED}}
    timed = {
        name: partial(seconds, partial(side.turn, STEPS), time.process_time) for name, side in sides.items()
    }
    figures |= _rates(timed, "cpu")
    figures["augmentation_share"] = augmentation_share()
    if importlib.util.find_spec("kornia"):
        figures["augmentation_times_kornia"] = against_kornia()
    for name, value in figures.items():
        print(f"{name:44} {value:.4g}" if isinstance(value, float) else f"{name:44} {value}")
    record("images", figures)


def _rates(sides: dict[str, Callable[[], float]], unit: str) -> dict[str, float]:
    taken, images = turns(sides, ROUNDS), STEPS * RECIPES["contrastive"].batch
    figures = {f"images_per_{unit}_second_{name}": float(np.median(images / t)) for name, t in taken.items()}
    ours, *theirs = taken.values()
    return figures | (
        {f"times_lightly_{unit}": float(np.median(np.min(theirs, axis=0) / ours))} if theirs else {}
    )


def augmentation_share() -> float:
    """The share of a step that goes to augmentation, in CPU-seconds of one thread."""
    side, chosen = Ours("contrastive"), draw(sized(256, 16))
    views = side.samples.views(chosen, 2)

    def augment() -> None:
        for number, view in enumerate(views * STEPS):
            recipe(side.samples.strength, chosen, f"view {number % 2}", 1)
            view.pixels()

    timed = {"augmentation": augment, "step": partial(side.turn, STEPS)}
    taken = turns({name: partial(seconds, work, time.process_time) for name, work in timed.items()}, ROUNDS)
    return float(np.median(taken["augmentation"] / taken["step"]))


def against_kornia() -> float:
    """How many times as fast as kornia the same augmentations are, colour images of 32 pixels."""
    import kornia.augmentation as kornia

    views = kornia.RandomResizedCrop((32, 32), scale=(0.3, 1.0)), kornia.RandomHorizontalFlip()
    inks = kornia.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), kornia.RandomGrayscale(p=0.2)
    theirs, batch, chosen = nn.Sequential(*views, *inks), torch.rand(256, 3, 32, 32), draw(256)
    strength = Images(Pretraining(crop=0.3, jitter=0.5), Arrays(np.zeros((1, 32, 32, 3), np.uint8))).strength
    sides = {"ours": lambda: apply(batch, recipe(strength, chosen, "v", 3)), "kornia": lambda: theirs(batch)}
    taken = turns({name: partial(seconds, work) for name, work in sides.items()}, 7)
    return float(np.median(taken["kornia"] / taken["ours"]))


def equal() -> None:
    """Prints and records what both sides learn in equal CPU-seconds of one thread."""
    torch.set_num_threads(1)
    # 2e-3 was lightly's best of 2e-3, 4e-3 and 8e-3 here.
    sides = {
        "ours": partial(Ours, "contrastive"),
        **({"lightly": partial(peer, rate=2e-3)} if INSTALLED else {}),
    }
    timed = {
        name: partial(seconds, partial(side().turn, 10), time.process_time) for name, side in sides.items()
    }
    steps = {name: round(10 * BUDGET / float(np.median(t))) for name, t in turns(timed, 3).items()}
    found: dict[str, list[list[float]]] = {name: [] for name in sides}
    spent = dict.fromkeys(sides, 0.0)
    for seed in range(SEEDS):
        for name, start in sides.items():
            side = start(seed=seed)
            spent[name] += seconds(partial(side.turn, steps[name]), time.process_time) / SEEDS
            found[name].append(probed(side.trunk, Ours("contrastive").samples.frame, fashion(), seed))
            print(f"seed {seed} {name:8} {steps[name]} steps {found[name][-1]}", flush=True)
    if len(sides) < 2:
        print("nothing to compare with: lightly is not installed here")
        return
    figures: dict[str, Any] = {"budget": BUDGET, "precision": PRECISION, "steps": steps, "cpu_seconds": spent}
    for place, count in enumerate(COUNTS):
        columns = ([one[place] for one in scores] for scores in found.values())
        figures[f"labels_{count}"] = gain(*columns, ("ours", "lightly"))
        print(f"{count} labels, ours / lightly: {told(figures[f'labels_{count}'])}")
    record("images_equal_seconds", figures | {"batch": RECIPES["contrastive"].batch})


def _start() -> None:
    torch.set_num_threads(1)
    logging.disable_progress_bar()


def main() -> None:
    """Measures what is named, as far as its images are on this machine."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes below
    with ProcessPoolExecutor(2, get_context("spawn"), _start) as pool:
        for name in sys.argv[1:] or ("speed", "equal", *RECIPES):
            try:
                objective(name, pool) if name in RECIPES else {"speed": speed, "equal": equal}[name]()
            except Missing as missing:
                print(f"{name} is skipped: {missing}")


if __name__ == "__main__":
    main()
