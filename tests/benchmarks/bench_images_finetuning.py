"""What full fine-tuning with 1 % of the labels gains from a trunk, against random weights.

    python -m tests.benchmarks.bench_images_finetuning [contrastive rotation ...]

600 labels of Fashion-MNIST; all weights learn, with the same steps and batch from both starts. Each run takes
the learning rate that does best on a quarter of its own labels when it learns from the others, and then
learns from all. Trunks are those of bench_images_objectives; runs are kept as there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch

from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import resolve
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.canvas import Canvas
from components.lib.modalities.image.examples import ImageSet
from components.lib.models import classifiers
from components.lib.tasks import image_classification as task
from tests.benchmarks import pretext, probing
from tests.benchmarks.history import record
from tests.benchmarks.imagesets import Missing, fashion
from tests.benchmarks.pretext import ALONE, RECIPES, SEEDS

LABELS, HELD_OUT = 600, 150
STEPS, BATCH = 200, 32
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
OBJECTIVES = ("contrastive", "byol", "rotation", "masked_image")


def measured(name: str, start: str, seed: int) -> dict[str, float]:
    """Chosen rate and test accuracy of one run from `trunk` or `random`."""
    recipe = RECIPES[name]
    what = (
        pretext.fingerprint(recipe) if start == "trunk" else pretext.network(recipe)
    )  # shared by objectives
    file = pretext.KEPT / f"finetuned-{what}-{LABELS}-{STEPS}x{BATCH}-{seed}.json"
    if not file.exists():
        trunk = pretext.pretrained(recipe, seed)[0] if start == "trunk" else pretext.start(recipe, seed)
        data = fashion()
        chosen = probing.subset(data.labels, LABELS, seed)
        known, held_out = (
            images(data.images[part], data.labels[part]) for part in (chosen[HELD_OUT:], chosen[:HELD_OUT])
        )
        rate = max(RATES, key=lambda rate: fitted(trunk, rate, known, held_out, seed))
        known, tested = (
            images(data.images[chosen], data.labels[chosen]),
            images(data.test_images, data.test_labels),
        )
        file.write_text(json.dumps({"rate": rate, "accuracy": fitted(trunk, rate, known, tested, seed)}))
    return dict(json.loads(file.read_text()))


def images(pixels: np.ndarray, labels: np.ndarray) -> ImageSet:
    """Labelled images, as the task reads them."""
    shards = pretext.shards("fashion")
    _, height, width, channels = pixels.shape
    canvas = Canvas(height, width, channels, mean=tuple(shards.mean), std=tuple(shards.std))
    return ImageSet(pixels, labels, canvas)


def fitted(trunk: Any, rate: float, known: ImageSet, tested: ImageSet, seed: int) -> float:
    """Accuracy of a classifier that starts from the trunk and learns from all of `known`."""
    torch.manual_seed(seed)
    names = [str(number) for number in range(10)]
    model = task.model(trunk.model.config, names)
    classifiers.start_from(model, trunk.model)
    plan = Plan(
        Schedule("linear", rate, STEPS, 0.1), precision=resolve("auto", ALONE.device),
        quiet=True, report_every=10**9,
    )  # fmt: skip
    term = WeightedSum({"task": task.Task(model)}, {"task": 1.0})
    Run(term, known, Order(len(known), BATCH, seed), plan, ALONE).train()
    found = task.outcomes(model, tested, names, batch_size=500)
    return float(np.mean(found["prediction"] == found["label"]))


def main() -> None:
    """Prints a line an objective and adds it to the history."""
    try:
        fashion()
    except Missing as missing:
        print(f"skipped: {missing}")
        return
    with pretext.side_by_side() as pool:
        for name in sys.argv[1:] or OBJECTIVES:
            cases = [(name, start, seed) for start in ("trunk", "random") for seed in range(SEEDS)]
            runs = list(pool.map(measured, *zip(*cases, strict=True)))
            accuracy = np.array([run["accuracy"] for run in runs]).reshape(2, SEEDS)
            gain = probing.Gain.of(*accuracy)
            rates = [float(np.median([run["rate"] for run in part])) for part in (runs[:SEEDS], runs[SEEDS:])]
            print(f"{name:13} trunk / random: {gain}, rates {rates[0]:g} / {rates[1]:g}", flush=True)
            figures = {"objective": name, "labels": LABELS, "rates": rates}
            record("images_finetuning", figures | gain.figures("trunk", "random"))


if __name__ == "__main__":
    main()
