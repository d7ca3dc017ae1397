"""One run of a study: a branch from a start learns from some labels and is scored."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.finetuning import served, stopping
from components.finetuning.config import MODES, STARTS, Config
from components.finetuning.labelled import subset_keys
from components.finetuning.materials import Material
from components.finetuning.served import Served
from components.finetuning.stopping import Point, Watch
from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.core.errors import InternalError
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.losses import Row
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import HeldOut, Plan
from components.lib.engine.precision import resolve
from components.lib.engine.randomness import Draw, Ints
from components.lib.engine.threads import one_thread
from components.lib.engine.trainable import WeightedSum
from components.lib.models import calibration, classifiers, loading
from components.lib.models.inference import device
from components.lib.modes import Fit
from components.lib.starts import Learner

HELD_OUT = 5  # one of so many labels judges a trial


@dataclass(frozen=True)
class StudyInputs:
    """What all runs of a study share; pickled to each worker.

    Attributes:
        starts: by name.
        groups: what each training example belongs to.
        subsets: seed -> places among the training examples, of which a run with k labels takes the first k.
        records: a few raw test inputs, role -> values, by which serving is timed.
        keep: folder for the weights of the run that is the branch.
    """

    config: Config
    starts: dict[str, Material]
    classes: list[str]
    groups: list[str]
    subsets: dict[int, Ints]
    records: dict[str, list[Any]]
    keep: Path

    def fitter(self) -> Fitter:
        """For the runs of one process."""
        return Fitter(self)


@dataclass(frozen=True)
class Spec:
    """Which run.

    Attributes:
        rate, steps: peak and length of a training by steps, None where there is none; of a trial its bound.
        kept: whether it is the branch.
        timed: whether it is measured as it would be served.
        trial: whether it only tries a rate, or what a solver finds.
        temperature: at which its probabilities are those that held-out labels have.
    """

    start: str
    labels: int
    seed: int
    rate: float | None = None
    steps: int = 0
    kept: bool = False
    timed: bool = False
    trial: bool = False
    temperature: float = 1.0

    @property
    def tag(self) -> dict[str, Any]:
        """The columns that name the run in tables."""
        return {"start": self.start, "labels": self.labels, "seed": self.seed}


@dataclass(frozen=True)
class Result:
    """What a run has come to.

    Attributes:
        outcomes: columns on the test examples; of a trial, none.
        history: of the loss.
        points: of a trial, how it did on what it held out.
        cpu_seconds: of fitting, without scoring.
    """

    spec: Spec
    outcomes: dict[str, Any]
    history: list[Row] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    cpu_seconds: float = 0.0
    served: Served | None = None


class Fitter:
    """Runs specs, one after the other."""

    def __init__(self, inputs: StudyInputs) -> None:
        self.inputs, self.config = inputs, inputs.config
        self.task = tasks.load(self.config.kind)
        self.mode = plugins.load(MODES, self.config.mode)
        self.world = World(0, 1, device())
        self._trunks: dict[Path, Any] = {}

    def fit(self, spec: Spec) -> Result:
        """Learns and scores; the head's weights and the order of examples depend on the seed alone.

        A trial learns from the first of its labels and is judged by the rest: the test split stays unseen.
        """
        material = self.inputs.starts[spec.start]
        if isinstance(material.source, Path):
            return self._branched(material, material.source, spec)
        with one_thread():
            return self._solved(material, material.source, spec)

    def _branched(self, material: Material, folder: Path, spec: Spec) -> Result:
        """A branch from weights, trained by the mode."""
        inputs, begun = self.inputs, time.process_time()
        torch.manual_seed(spec.seed)
        trunk = self._trunk(folder)
        model = self.task.model(trunk.model.config, inputs.classes)
        plugins.load(STARTS, spec.start).prepare(model, trunk)
        model.to(self.world.device)
        learned, held_out = self._split(spec)
        history: list[Row] = []
        points: list[Point] = []
        if getattr(self.task, "TRAINS", True):
            judging = material.train.subset(held_out) if spec.trial else None
            model, history, points = self._learned(model, material.train.subset(learned), spec, judging)
        if hasattr(self.task, "decided"):
            setattr(model.config, calibration.SETTING, spec.temperature)
        result = Result(spec, {}, history, points, time.process_time() - begun)
        if spec.trial:
            return result
        if remember := getattr(self.task, "remember", None):
            remember(model, material.train.subset(learned) if len(learned) else material.test)
        if spec.kept:
            loading.save(model, inputs.keep)
        result = replace(result, outcomes=self.task.outcomes(model, material.test, inputs.classes))
        return replace(result, served=self._served(model, folder)) if spec.timed else result

    def _solved(self, material: Material, learner: Learner, spec: Spec) -> Result:
        """A model of the start's own."""
        begun = time.process_time()
        places = self.inputs.subsets[spec.seed][: spec.labels]
        groups = [self.inputs.groups[place] for place in places]
        fitted = learner.fit(material.train.subset(places), groups, spec.seed)
        result = Result(spec, {}, cpu_seconds=time.process_time() - begun)
        result = replace(result, outcomes=fitted.outcomes(material.test))
        if spec.timed:
            took = served.milliseconds(fitted.answer, self.inputs.records)
            result = replace(result, served=Served(fitted.parameters, fitted.megabytes, took, fitted.note))
        return result

    def _trunk(self, folder: Path) -> Any:
        if folder not in self._trunks:
            self._trunks[folder] = modalities.load(self.config.modality, "trunk").load(folder)
        return self._trunks[folder]

    def _served(self, model: Any, folder: Path) -> Served:
        reader = modalities.load(self.config.modality, "labelled").Reader.open(folder, self.config.own)
        parameters, megabytes = served.size(model)
        took = served.milliseconds(
            lambda inputs: self.task.answer(model, reader, inputs), self.inputs.records
        )
        return Served(parameters, megabytes, took)

    def _split(self, spec: Spec) -> tuple[Ints, Ints]:
        """Places of a run's labels that are learnt from, and of those held out: of a trial, a fifth.

        No group is on both sides.
        """
        inputs = self.inputs
        places = inputs.subsets[spec.seed][: spec.labels]
        if not spec.trial:
            return places, places[:0]
        groups = [inputs.groups[place] for place in places]
        order = np.argsort(subset_keys(groups, spec.seed), kind="stable")
        at = len(order) - max(1, len(order) // HELD_OUT)
        while at and groups[order[at]] == groups[order[at - 1]]:
            at -= 1
        at = at or len(order) - 1  # one group alone: there is nothing else to learn from
        return places[order[:at]], places[order[at:]]

    def _learned(
        self, model: Any, samples: Any, spec: Spec, judging: Any
    ) -> tuple[Any, list[Row], list[Point]]:
        """The branch, the losses of its training, and how it did on the samples that judge a trial."""
        points: list[Point] = []

        def train(model: nn.Module) -> list[Row]:
            term = WeightedSum({self.config.kind: self.task.Objective(model)}, {self.config.kind: 1.0})
            order = Order(len(samples), self.config.batch, spec.seed)
            run = Run(
                term,
                samples,
                order,
                self._plan(spec),
                self.world,
                **self._judged(model, judging, samples, points),
            )
            return run.train()

        if hasattr(self.task, "begin"):
            self.task.begin(model, samples)
        before = classifiers.fingerprint(model.base_model)
        fit = Fit(self.task, model, samples, self.config.adaptation, spec.seed, train)
        branch, history = self.mode.learn(fit)
        if judging is not None and not self.mode.STEPS:
            score, surprise = self._score(branch, judging, samples)
            points.append(Point(0, score, float("nan"), surprise))
        if not self.mode.MOVES and classifiers.fingerprint(branch.base_model) != before:
            raise InternalError("a frozen trunk moved", where=str(spec))
        return branch, history, points

    def _judged(self, model: nn.Module, judging: Any, learned: Any, points: list[Point]) -> dict[str, Any]:
        """How a trial is judged while it trains, as arguments of its run; of any other run, nothing."""
        if judging is None:
            return {}

        def score() -> tuple[float, tuple[float, ...]]:
            with stopping.judged(model):
                return self._score(model, judging, learned)

        ids = np.arange(len(judging))
        batches = np.array_split(ids, max(1, -(-len(ids) // self.config.batch)))
        draws = tuple(Draw(part, np.zeros_like(part), 0, training=False) for part in batches)
        watch = Watch(score, stopping.sign(self.task), points)
        return {"held_out": HeldOut(judging, draws), "enough": watch}

    def _score(self, model: Any, samples: Any, learned: Any) -> tuple[float, tuple[float, ...]]:
        """The primary metric; and the surprise at each temperature, if the task has probabilities.

        Of classes that were learnt alone: the run, which learns from all labels, knows the others, too.
        """
        surprise: tuple[float, ...] = ()
        if hasattr(self.task, "decided"):
            logits = self.task.logits(model, samples)
            known = np.isin(samples.targets, learned.targets)
            surprise = tuple(calibration.surprise(logits[known], np.asarray(samples.targets)[known]))
            outcomes = self.task.decided(logits, samples)
        else:
            outcomes = self.task.outcomes(model, samples, self.inputs.classes)
        return stopping.primary(self.task, outcomes, self.inputs.classes), surprise

    def _plan(self, spec: Spec) -> Plan:
        config = self.config
        every = stopping.spacing(spec.steps)
        return Plan(
            Schedule("linear", spec.rate or 0.0, spec.steps, config.warmup),
            precision=resolve(config.precision, self.world.device),
            weight_decay=config.weight_decay,
            report_every=every,
            evaluate_every=every,
            quiet=True,
        )
