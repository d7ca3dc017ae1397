"""One run of a study: a branch from a start's weights learns from some labels and is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.finetuning.config import MODES, Config
from components.finetuning.labelled import subset_keys
from components.lib import modalities, tasks
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
from components.lib.models import classifiers, loading
from components.lib.models.inference import device
from components.lib.modes import Fit

STARTS = "components.lib.starts"
HELD_OUT = 5  # one of so many labels judges a trial


@dataclass(frozen=True)
class StudyInputs:
    """What all runs of a study share; pickled to each worker.

    Attributes:
        trunk: folder of the trunk's weights.
        train, test: examples as the task encodes them.
        groups: what each training example belongs to.
        subsets: seed -> places in `train`, of which a run with k labels takes the first k.
        keep: folder for the weights of the run that is the branch.
    """

    config: Config
    trunk: Path
    classes: list[str]
    train: Any
    test: Any
    groups: list[str]
    subsets: dict[int, Ints]
    keep: Path

    def fitter(self) -> Fitter:
        """Loads the trunk."""
        return Fitter(self)


@dataclass(frozen=True)
class Spec:
    """Which run; `kept` marks the branch, `trial` one that only tries its rate."""

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


@dataclass(frozen=True)
class Result:
    """Outcome columns on the test examples, and the loss history."""

    spec: Spec
    outcomes: dict[str, Any]
    history: list[Row]


class Fitter:
    """Runs specs, one after the other."""

    def __init__(self, inputs: StudyInputs) -> None:
        self.inputs, self.config = inputs, inputs.config
        self.task = tasks.load(self.config.kind)
        self.mode = plugins.load(MODES, self.config.mode)
        self.trunk = modalities.load(self.config.modality, "trunk").load(inputs.trunk)
        self.world = World(0, 1, device())

    def fit(self, spec: Spec) -> Result:
        """Trains and scores; the head's start and the order of examples depend on the seed alone.

        A trial learns from the first of its labels and is scored on the rest: the test split stays unseen.
        """
        inputs = self.inputs
        torch.manual_seed(spec.seed)
        model = self.task.model(self.trunk.model.config, inputs.classes)
        plugins.load(STARTS, spec.start).prepare(model, self.trunk)
        model.to(self.world.device)
        learned, judged = self._split(spec)
        history: list[Row] = []
        if getattr(self.task, "TRAINS", True):
            model, history = self._learned(model, inputs.train.subset(learned), spec)
        outcomes = self.task.outcomes(model, judged, inputs.classes)
        if spec.kept:
            loading.save(model, inputs.keep)
        return Result(spec, outcomes, history)

    def _split(self, spec: Spec) -> tuple[Ints, Any]:
        """Places that are learnt from, and the examples that judge; of a trial, a fifth of its labels.

        No group is on both sides.
        """
        inputs = self.inputs
        places = inputs.subsets[spec.seed][: spec.labels]
        if not spec.trial:
            return places, inputs.test
        groups = [inputs.groups[place] for place in places]
        order = np.argsort(subset_keys(groups, spec.seed), kind="stable")
        at = len(order) - max(1, len(order) // HELD_OUT)
        while at and groups[order[at]] == groups[order[at - 1]]:
            at -= 1
        at = at or len(order) - 1  # one group alone: there is nothing else to learn from
        return places[order[:at]], inputs.train.subset(places[order[at:]])

    def _learned(self, model: Any, samples: Any, spec: Spec) -> tuple[Any, list[Row]]:
        """The branch, and the losses of its training."""

        def train(model: torch.nn.Module) -> list[Row]:
            term = WeightedSum({self.config.kind: self.task.Objective(model)}, {self.config.kind: 1.0})
            order = Order(len(samples), self.config.batch, spec.seed)
            return Run(term, samples, order, self._plan(spec.rate), self.world).train()

        before = classifiers.fingerprint(model.base_model)
        fit = Fit(self.task, model, samples, self.config.adaptation, spec.seed, train)
        branch, history = self.mode.learn(fit)
        if not self.mode.MOVES and classifiers.fingerprint(branch.base_model) != before:
            raise InternalError("a frozen trunk moved", where=str(spec))
        return branch, history

    def _plan(self, rate: float) -> Plan:
        config = self.config
        return Plan(
            Schedule("linear", rate, config.steps, config.warmup),
            precision=resolve(config.precision, self.world.device),
            weight_decay=config.weight_decay,
            report_every=max(1, config.steps // 20),
            quiet=True,
        )
