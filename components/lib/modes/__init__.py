"""Modes: how a branch learns from labels. One file a mode.

A mode declares

    Config                  its settings, which stand among those of finetuning
    NEEDS                   what a task must offer, such as a linear probe
    STEPS                   whether the engine trains it, so that learning rates matter
    MOVES                   whether the trunk's weights may change
    learn(fit) -> (branch, history)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from components.lib.engine.losses import Row


@dataclass(frozen=True)
class Fit:
    """One run of a study, before it has learnt.

    Attributes:
        task: the plugin.
        model: trunk and head; the head has random weights.
        samples: labelled examples, as the task encodes them.
        options: the mode's `Config`.
        seed: of the run.
        train: trains by steps of the engine what of a model requires a gradient; returns its losses.
    """

    task: Any
    model: Any
    samples: Any
    options: Any
    seed: int
    train: Callable[[nn.Module], list[Row]]
