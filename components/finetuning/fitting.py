"""One run of a study: a classifier from trunk or random weights, trained on some labels, scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from components.finetuning.config import Config
from components.lib.core import plugins
from components.lib.core.errors import InternalError
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.losses import Row
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import resolve
from components.lib.engine.randomness import Ints
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.text.examples import Examples
from components.lib.models import classifiers, loading

STILL = ("frozen", "knn")  # modes in which the trunk stays as it is
HELD_OUT = 5  # one of so many labels judges a trial


@dataclass(frozen=True)
class Ground:
    """What all runs of a study share; small enough to be sent to every process.

    Attributes:
        trunk: folder of the trunk's weights.
        subsets: seed -> places in `train`, of which a run with k labels takes the first k.
        keep: folder for the weights of the run that is the branch.
    """

    config: Config
    modality: str
    trunk: Path
    classes: list[str]
    train: Examples
    test: Examples
    subsets: dict[int, Ints]
    keep: Path

    def fitter(self) -> Fitter:
        """Loads the trunk."""
        return Fitter(self)


@dataclass(frozen=True)
class Spec:
    """Which run: start is trunk or random; `kept` marks the branch, `trial` one that only tries its rate."""

    start: str
    labels: int
    seed: int
    rate: float
    kept: bool = False
    trial: bool = False

    @property
    def tag(self) -> dict[str, Any]:
        """The columns that name the run in tables."""
        return {"start": self.start, "labels": self.labels, "seed": self.seed}

    @property
    def held_out(self) -> int:
        """How many of the labels a trial is scored on; the others are those that it learns from."""
        return max(1, self.labels // HELD_OUT) if self.trial else 0


@dataclass(frozen=True)
class Result:
    """Outcome columns on the test examples, and the loss history."""

    spec: Spec
    outcomes: dict[str, Any]
    history: list[Row]


class Fitter:
    """Runs specs, one after the other."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.config = ground, ground.config
        self.task = plugins.load("components.lib.tasks", ground.config.kind)
        self.trunk = plugins.load("components.lib.modalities", ground.modality, "samples").load(ground.trunk)
        self.world = World(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def fit(self, spec: Spec) -> Result:
        """Trains and scores; the head's start and the order of examples depend on the seed alone.

        A trial learns from the first of its labels and is scored on the rest: the test split stays unseen.
        """
        ground = self.ground
        torch.manual_seed(spec.seed)
        model = self.task.model(self.trunk.model.config, ground.classes)
        if spec.start == "trunk":
            classifiers.start_from(model, self.trunk.model)
        places = ground.subsets[spec.seed][: spec.labels]
        learned = len(places) - spec.held_out
        before = classifiers.fingerprint(model.base_model)
        model, history = self._learnt(model, ground.train.subset(places[:learned]), spec)
        if self.config.mode in STILL and classifiers.fingerprint(model.base_model) != before:
            raise InternalError("a frozen trunk moved", where=str(spec))
        judged = ground.train.subset(places[learned:]) if spec.trial else ground.test
        outcomes = self.task.outcomes(model, judged, ground.classes)
        if spec.kept:
            loading.save(model, ground.keep)
        return Result(spec, outcomes, history)

    def _learnt(self, model: Any, samples: Any, spec: Spec) -> tuple[Any, list[Row]]:
        """The branch, and the losses of its training."""
        config: Any = self.config
        if config.mode == "knn":
            return self.task.neighbours(model, samples, config.neighbours), []
        if config.mode != "full":
            classifiers.freeze(model, config.layers if config.mode == "partial" else 0)
        term = WeightedSum({config.kind: self.task.Task(model)}, {config.kind: 1.0})
        order = Order(len(samples), config.batch, spec.seed)
        return model, Run(term, samples, order, self._plan(spec.rate), self.world).train()

    def _plan(self, rate: float) -> Plan:
        config = self.config
        schedule = Schedule("linear", rate, config.steps, config.warmup)
        return Plan(
            schedule,
            precision=resolve(config.precision, self.world.device),
            weight_decay=config.weight_decay,
            report_every=max(1, config.steps // 20),
            quiet=True,
        )
