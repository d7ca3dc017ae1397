"""How fast SimCLR is beside lightly's example path; what its trunk buys, `bench_quality` says.

    python -m tests.benchmarks.bench_images

By wall clock with all cores, ours with a thread a core; lightly with the DataLoader workers that its
examples have (8) and with one a core, of which the faster counts. By CPU-seconds: one thread, no workers;
and the share of a step that goes to augmentation. Where lightly is not installed (see lightly_peer.py), ours
is timed alone.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from components.lib.engine.optimization import Schedule
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.augmentation import recipe
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from components.lib.objectives.contrastive import Config, Objective
from tests.benchmarks.history import record, sized
from tests.benchmarks.lightly_peer import INSTALLED, Peer
from tests.benchmarks.turns import PRECISION, run_of, seconds, turns
from tests.made.in_memory import Arrays, draw

CORES, EXAMPLES = os.cpu_count() or 1, 8  # threads; DataLoader workers of lightly's examples
STEPS, ROUNDS, BATCH, IMAGES = sized(
    (20, 3, 256, 60_000), (2, 1, 16, 64)
)  # of a turn; of Fashion-MNIST's size
RATE, TEMPERATURE = 4e-3, 0.1  # of the preset `fashion`, as the views and the network are


def samples() -> Images:
    """Noise of Fashion-MNIST's shape: what is shown does not decide how long a step takes."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 28, 28, 1), dtype=np.uint8)
    views = {"architecture": "cnn", "size": "micro", "grey": 0.0, "crop": 0.3, "jitter": 0.5}
    return Images(Pretraining(**views), Arrays(pixels))


class Ours:
    """A trunk in training by our engine: `turn` makes some steps and answers the seconds."""

    def __init__(self) -> None:
        self.samples = samples()
        torch.manual_seed(0)
        objective = Objective(Config(temperature=TEMPERATURE), self.samples.trunk())
        self.model = WeightedSum({"contrastive": objective}, {"contrastive": 1.0})

    def turn(self, steps: int) -> float:
        """Trains from the weights that it has."""
        schedule = Schedule("cosine", RATE, steps, 0.05)
        return seconds(run_of(self.model, self.samples, schedule, BATCH).train)


def peers(sides: dict[str, dict[str, Any]]) -> dict[str, Peer]:
    """lightly's side of the recipe, with these options each."""
    torch.manual_seed(0)
    same = {"rate": RATE, "temperature": TEMPERATURE}
    asked = {name: {"precision": PRECISION, **same, **options} for name, options in sides.items()}
    return {name: Peer(samples(), BATCH, **options) for name, options in asked.items() if INSTALLED}


def rates(sides: dict[str, Callable[[], float]], unit: str) -> dict[str, float]:
    """Images a second of each side, and ours over the best of the others."""
    taken = turns(sides, ROUNDS)
    figures = {f"images_per_{unit}_second_{k}": float(np.median(STEPS * BATCH / t)) for k, t in taken.items()}
    ours, *theirs = taken.values()
    ratio = {f"times_lightly_{unit}": float(np.median(np.min(theirs, axis=0) / ours))} if theirs else {}
    return figures | ratio


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    """CPU-seconds of it."""
    return partial(seconds, work, time.process_time)


def augmentation_share(side: Ours) -> float:
    """The share of a step that goes to augmentation, in CPU-seconds of one thread."""
    chosen = draw(BATCH)
    views = side.samples.views(chosen, 2)

    def augment() -> None:
        for number, view in enumerate(views * STEPS):
            recipe(side.samples.strength, chosen, f"view {number % 2}", 1)
            view.pixels()

    taken = turns({"augmentation": timed(augment), "step": timed(partial(side.turn, STEPS))}, ROUNDS)
    return float(np.median(taken["augmentation"] / taken["step"]))


def main() -> None:
    """Prints and records images a second, by wall clock and by CPU."""
    torch.set_num_threads(CORES)
    figures: dict[str, Any] = {"precision": PRECISION, "cores": CORES, "torch": torch.__version__}
    workers = {f"lightly_{n}_workers": {"workers": n} for n in sorted({CORES, EXAMPLES})}
    sides: dict[str, Any] = {"ours": Ours(), **peers(workers)}
    figures |= rates({name: partial(side.turn, STEPS) for name, side in sides.items()}, "wall")
    torch.set_num_threads(1)
    sides = {"ours": Ours(), **peers({f"lightly_{p}": {"precision": p} for p in {PRECISION, "fp32"}})}
    figures |= rates({name: timed(partial(side.turn, STEPS)) for name, side in sides.items()}, "cpu")
    figures["augmentation_share"] = augmentation_share(sides["ours"])
    for name, value in figures.items():
        print(f"{name:44} {value:.4g}" if isinstance(value, float) else f"{name:44} {value}")
    record("images", figures)


if __name__ == "__main__":
    main()
