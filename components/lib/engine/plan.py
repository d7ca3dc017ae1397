"""Hyper-parameters of a training run: all that decides it besides the model and the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.engine.optimization import Schedule
from components.lib.engine.randomness import Draw


@dataclass(frozen=True)
class Plan:
    """Hyper-parameters of one training.

    Attributes:
        optimizer: adamw or lars, whose momentum is the first of `betas`.
        micro_batch: largest micro-batch of a rank, in samples; 0 = its whole share of the global batch.
        parallel: auto, ddp or fsdp.
        recompute: activation checkpointing: blocks are recomputed in the backward pass.
        compile: torch.compile of each block.
        clip: largest norm of the gradient.
        spike: a gradient norm this many times the usual one is skipped; 0 = never.
        bad_steps: consecutive skipped steps (gradient not finite, or a spike) before a rollback.
        max_rollbacks: rollbacks to the last checkpoint before the run fails.
        report_every: steps between rows of the history.
        unit: what the rate of progress counts.
        evaluate_every, checkpoint_every: steps; 0 = never (evaluation still happens at the end).
    """

    schedule: Schedule
    precision: str = "fp32"
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    micro_batch: int = 0
    parallel: str = "auto"
    recompute: bool = False
    compile: bool = False
    spike: float = 0.0
    bad_steps: int = 10
    max_rollbacks: int = 2
    report_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    label: str = "training"
    unit: str = "tokens"
    quiet: bool = False


@dataclass(frozen=True)
class HeldOut:
    """Validation samples, and the fixed batches of them that are measured."""

    samples: Any
    draws: tuple[Draw, ...]


def accumulation(batch: int, world: int, most: int) -> tuple[int, int]:
    """Gradient accumulation of each of `world` ranks: (samples a micro-batch, micro-batches a step).

    The global batch is the same for every world, so this is solved again: the fewest micro-batches of equal
    size with at most `most` samples (0 = any number).

    Raises:
        ConfigError: if the batch cannot be divided evenly.
    """
    share, rest = divmod(batch, world)
    if rest or not share:
        what, expected = "the global batch cannot be shared out evenly", f"a multiple of {world} processes"
        raise ConfigError(what, where="global_batch", found=batch, expected=expected)
    size = next(size for size in range(min(most or share, share), 0, -1) if share % size == 0)
    return size, share // size
