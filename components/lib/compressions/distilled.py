"""A student of half the layers, begun at some of the teacher's and taught what it answers (DistilBERT).

Source: Sanh et al., "DistilBERT, a distilled version of BERT", 2019: the student's layers are every second
one of the teacher's. The loss is the squared error of the network's outputs, whatever they are, in units of
their variance: for logits it is at least as good as the divergence at any temperature (Kim et al., "Comparing
Kullback-Leibler divergence and mean squared error loss in knowledge distillation", IJCAI 2021).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.compressions import Full
from components.lib.core.settings import setting
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import Loss, WeightedSum
from components.lib.models import classifiers, loading
from components.lib.models.calls import Call, named, recorded
from components.lib.models.inference import device
from components.lib.models.vision.dense import Dense

LIBRARIES = ()
TOOLS = ()


@dataclass(frozen=True)
class Config:
    """How the student learns: from all training records, of whose labels it sees none."""

    layers: int = setting(0, "of the student; 0 = half of the teacher's", minimum=0)
    steps: int = setting(300, "optimizer steps", minimum=1)
    batch: int = setting(32, "records a step", minimum=1)
    learning_rate: float = setting(3e-4, "peak rate", minimum=0.0, maximum=1.0)
    seed: int = setting(0, "of the order of records", minimum=0)


def make(full: Full, options: Config, folder: Path) -> str:
    """The student, as a plain branch of fewer layers."""
    if not len(full.learnt):
        return "there are no training records to learn from"
    if why := unfit(full.model, options.layers):
        return why
    student, there = halved(full.model, options.layers), device()
    samples = full.encode(full.learnt)
    term = Distillation(full.task, student, full.model.to(there))
    plan = Plan(Schedule("linear", options.learning_rate, options.steps, 0.1), weight_decay=0.01, quiet=True)
    order = Order(len(samples), options.batch, options.seed)
    torch.manual_seed(options.seed)
    whole = WeightedSum({"distilled": term}, {"distilled": 1.0})
    Run(whole, samples, order, plan, World(0, 1, there)).train()
    full.model.cpu()
    if not term.learnt:
        return "no output of its network can be learnt from"
    loading.save(student.cpu(), folder)
    return ""


def unfit(model: Any, layers: int) -> str:
    """Why a network cannot lose layers; empty if it can."""
    count = getattr(model.config, "num_hidden_layers", None)
    try:
        stack = classifiers.layers(model.base_model)
    except ValueError:
        stack = nn.ModuleList()
    if count is None or len(stack) != count:
        return "its network is no stack of equal layers"
    if isinstance(model, Dense):
        return "its head reads the maps of every layer"
    if count < 2:
        return "its network has one layer"
    return f"its network has {count} layers" if layers >= count else ""


def halved(teacher: Any, layers: int) -> Any:
    """A copy that keeps so many layers, evenly spaced, the first and the last among them; it learns whole."""
    student = copy.deepcopy(teacher)
    stack, config = classifiers.layers(student.base_model), student.config
    kept = np.linspace(0, len(stack) - 1, layers or len(stack) // 2).round().astype(int).tolist()
    left = [stack[place] for place in kept]
    del stack[:]
    stack.extend(left)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[place] for place in kept]
    config.num_hidden_layers = len(kept)
    return student.requires_grad_(True)


class Distillation(nn.Module):
    """Squared error of the student's outputs to the teacher's, on the batches of a task.

    Args:
        task: its objective calls the student; the loss on labels is not used.
        teacher: on the device of the batches; no submodule, so that it stays out of checkpoints.
    """

    PARTS = ()

    def __init__(self, task: Any, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.task, self.student = task.Objective(student), student
        self.prepare, self.learnt = self.task.prepare, False
        self._teacher = (teacher.eval(),)

    def forward(self, batch: Any) -> Loss:
        """The mean over the outputs' numbers, times the weight of the batch."""
        with recorded(self.student) as calls:
            weight = self.task(batch).weight
        errors = [error for call in calls for error in self._errors(call)]
        self.learnt = self.learnt or bool(errors)
        total = torch.stack(errors).mean() if errors else next(self.student.parameters()).sum() * 0
        return Loss(total * weight, weight)

    def _errors(self, call: Call) -> Iterator[Tensor]:
        with torch.no_grad():
            expected = named(self._teacher[0](*call.places, **call.given))
        mask = call.tensors.get("attention_mask")
        for name, found in named(call.answer).items():
            if found.requires_grad and found.is_floating_point():
                yield scaled_error(found.float(), expected[name].float(), mask)


def scaled_error(found: Tensor, expected: Tensor, mask: Tensor | None = None) -> Tensor:
    """() mean squared error over the variance of `expected`; of (n, L, ...), at real tokens (n, L) alone."""
    if mask is not None and found.shape[:2] == mask.shape and found.ndim >= 2:
        found, expected = found[mask.bool()], expected[mask.bool()]
    return (found - expected).pow(2).mean() / expected.var().clamp(min=1e-6)
