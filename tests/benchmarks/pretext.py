"""Pre-training of small trunks for the benchmarks of images: recipes, one run of the engine, kept results."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import resolve
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from tests.benchmarks.imagesets import SETS

KEPT = Path("build/benchmarks/images")
SOURCES = tuple(
    f"components/{name}.py"
    for name in (
        "lib/modalities/image/samples", "lib/modalities/image/augmentation", "lib/models/vision/decoders",
        "lib/models/vision/architectures", "lib/models/vision/networks", "lib/engine/device_noise",
        "lib/objectives/{objective}",
    )
)  # fmt: skip
SEEDS, CORES = 5, 2
ALONE = World(0, 1, torch.device("cpu"))


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, how long.

    Attributes:
        trunk: options of the modality, as a preset has them: network and views.
        data: a name in SETS.
        probed: another one, if the trunk reads something else than what it learns from.
    """

    objective: str
    trunk: dict[str, Any]
    steps: int
    rate: float
    batch: int = 128
    options: dict[str, Any] = field(default_factory=dict)
    data: str = "fashion"
    probed: str = ""
    precision: str = "auto"


CNN: dict[str, Any] = {"architecture": "cnn", "size": "micro", "grey": 0.0}
VIT, MLP = {"architecture": "vit", "size": "nano", "patch": 7}, {"architecture": "mlp"}
VIEWS = {**CNN, "crop": 0.3, "jitter": 0.5}
RECIPES = {
    recipe.objective: recipe
    for recipe in (
        Recipe("contrastive", VIEWS, 250, 4e-3, 256, {"temperature": 0.1}),
        Recipe("byol", VIEWS, 400, 4e-3, options={"momentum": 0.97}),
        Recipe("masked_image", {**VIT, "crop": 0.6}, 700, 4e-3, options={"width": 64, "ratio": 0.6}),
        Recipe("denoising", {**CNN, "crop": 0.6}, 800, 2e-3),
        Recipe("rotation", {**CNN, "crop": 0.6}, 800, 2e-3),
        Recipe("colorization", {**CNN, "crop": 0.6}, 600, 2e-3, data="emoji", probed="grey_emoji"),
        Recipe("autoencoder", {**MLP, "crop": 0.8}, 2500, 1e-3, options={"decorrelation": 0.001}),
        Recipe("adversarial", CNN, 80, 1e-3),
    )
}


class Shards:
    """The interface of PixelShards over an array."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.fresh = images, len(images)
        _, self.height, self.width, self.channels = images.shape
        some = images[:: max(1, len(images) // 5000)].reshape(-1, self.channels) / 255
        self.mean, self.std = some.mean(axis=0), some.std(axis=0)

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, ids: np.ndarray) -> np.ndarray:
        return self.images[ids]


def samples(recipe: Recipe) -> Images:
    """All images of the set but the tested ones, and their views."""
    return Images(from_dict(Pretraining, recipe.trunk, "trunk"), shards(recipe.data))


def start(recipe: Recipe, seed: int) -> samples.Trunk:
    """Random weights: what pre-training with this seed starts from."""
    torch.manual_seed(seed)
    return samples(recipe).trunk()


def pretrained(recipe: Recipe, seed: int) -> tuple[samples.Trunk, float]:
    """The trunk and the CPU-seconds of its training; from the folder of an earlier run if nothing changed."""
    folder = KEPT / f"{recipe.objective}-{seed}-{fingerprint(recipe)}"
    done = folder / "seconds.json"
    if not done.exists():
        trunk, seconds = trained(recipe, seed)
        trunk.save(folder)
        done.write_text(json.dumps(seconds))
    return samples.load(folder), float(json.loads(done.read_text()))


def trained(recipe: Recipe, seed: int) -> tuple[samples.Trunk, float]:
    """One run of the engine, on the threads that torch has."""
    module = plugins.load("components.lib.objectives", recipe.objective)
    corpus = samples(recipe)
    torch.manual_seed(seed)
    trunk = corpus.trunk()
    objective = module.Objective(from_dict(module.Config, recipe.options, recipe.objective), trunk)
    plan = Plan(
        Schedule("cosine", recipe.rate, recipe.steps, 0.05),
        precision=resolve(recipe.precision, ALONE.device), quiet=True, report_every=10**9,
    )  # fmt: skip
    run = Run(
        WeightedSum({recipe.objective: objective}, {recipe.objective: 1.0}),
        corpus,
        Order(len(corpus), recipe.batch, seed),
        plan,
        ALONE,
    )
    before = time.process_time()
    run.train()
    return trunk, time.process_time() - before


def network(recipe: Recipe) -> str:
    """The name of what has the same random weights, whatever the objective."""
    config = samples(recipe).config
    return f"{config.architecture}-{config.size}-{config.patch}-{recipe.data}"


def fingerprint(recipe: Recipe, *settings: object) -> str:
    """Of the recipe, of the code for images that it runs, and of what is done with the trunk."""
    state = hashlib.sha256(json.dumps([asdict(recipe), *settings], sort_keys=True).encode())
    for source in SOURCES:
        state.update(Path(source.format(objective=recipe.objective)).read_bytes())
    return state.hexdigest()[:12]


@cache
def shards(name: str) -> Shards:
    """All images of a set but the tested ones."""
    return Shards(SETS[name]().images)


def side_by_side() -> ProcessPoolExecutor:
    """Processes with one thread each: seeds do not wait for each other."""
    os.environ["OMP_NUM_THREADS"] = "1"
    return ProcessPoolExecutor(CORES, get_context("spawn"), _start)


def _start() -> None:
    torch.set_num_threads(1)
    logging.disable_progress_bar()
