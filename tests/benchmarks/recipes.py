"""Recipes of small visual trunks, and a training of one by our engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.engine.optimization import Schedule
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from tests.benchmarks.history import sized
from tests.benchmarks.imagesets import SETS
from tests.benchmarks.turns import run_of, seconds
from tests.made.in_memory import Arrays


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, how long.

    Attributes:
        trunk: options of the modality, as a preset has them: network and views.
        data: a name in SETS.
        probed: another one, if the trunk reads something else than what it learns from.
        tuned: whether full fine-tuning is measured as well.
    """

    trunk: dict[str, Any]
    steps: int
    rate: float
    batch: int = 128
    options: dict[str, Any] = field(default_factory=dict)
    data: str = "fashion"
    probed: str = "fashion"
    tuned: bool = False


CNN: dict[str, Any] = {"architecture": "cnn", "size": "micro", "grey": 0.0}
VIT, MLP = {"architecture": "vit", "size": "nano", "patch": 7}, {"architecture": "mlp"}
VIEWS, CROPS = {**CNN, "crop": 0.3, "jitter": 0.5}, {**CNN, "crop": 0.6}
RECIPES = {
    "contrastive": Recipe(VIEWS, 250, 4e-3, 256, {"temperature": 0.1}, tuned=True),
    "byol": Recipe(VIEWS, 400, 4e-3, options={"momentum": 0.97}, tuned=True),
    "masked_image": Recipe({**VIT, "crop": 0.6}, 700, 4e-3, options={"width": 64, "ratio": 0.6}, tuned=True),
    "denoising": Recipe(CROPS, 800, 2e-3, tuned=True),
    "rotation": Recipe(CROPS, 800, 2e-3, tuned=True),
    "colorization": Recipe(CROPS, 600, 2e-3, data="emoji", probed="grey_emoji"),
    "autoencoder": Recipe({**MLP, "crop": 0.8}, 2500, 1e-3, options={"decorrelation": 0.001}),
    "adversarial": Recipe(CNN, 80, 1e-3),
}


@cache
def shards(name: str) -> Arrays:
    """All images of a set but the tested ones."""
    return Arrays(SETS[name]().images)


class Ours:
    """A trunk in training by our engine: `turn` makes some steps and answers the seconds."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.recipe, self.seed = RECIPES[name], seed
        self.samples = Images(from_dict(Pretraining, self.recipe.trunk, "trunk"), shards(self.recipe.data))
        torch.manual_seed(seed)
        self.trunk = self.samples.trunk()
        module = plugins.load("components.lib.objectives", name)
        objective = module.Objective(from_dict(module.Config, self.recipe.options, name), self.trunk)
        self.model = WeightedSum({name: objective}, {name: 1.0})

    def turn(self, steps: int) -> float:
        """Trains from the weights that it has."""
        schedule, batch = Schedule("cosine", self.recipe.rate, steps, 0.05), sized(self.recipe.batch, 16)
        return seconds(run_of(self.model, self.samples, schedule, batch, seed=self.seed).train)
