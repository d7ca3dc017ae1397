"""All that decides a training run besides the model and the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.engine.optimization import Schedule
from components.lib.engine.randomness import Draw


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Attributes:
        optimizer: adamw or lars, whose momentum is the first of `betas`.
        micro_batch: the most samples a process takes in one forward pass; 0 = its whole share of the batch.
        parallel: how several processes hold the model: auto, ddp or fsdp.
        recompute: activations of blocks in the backward pass, instead of keeping them.
        compile: each block, by torch.compile.
        clip: largest norm of the gradient.
        spike: a gradient this many times as large as usual is skipped; 0 = never.
        bad_steps: how many steps in a row may be skipped, for a gradient that is not finite or a spike.
        returns: how often the weights may then go back to the last checkpoint, before the run ends.
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
    returns: int = 2
    report_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    label: str = "training"
    unit: str = "tokens"
    quiet: bool = False


@dataclass(frozen=True)
class HeldOut:
    """Samples that are measured, never trained on, and the fixed draws of them."""

    samples: Any
    draws: tuple[Draw, ...]


def passes(batch: int, world: int, most: int) -> tuple[int, int]:
    """How `world` processes take a global batch: (samples a pass, passes) of each.

    The batch is the same for every world, so the passes are solved again: the fewest of equal size that
    hold at most `most` samples (0 = any number).

    Raises:
        ConfigError: if the batch cannot be shared out evenly.
    """
    share, rest = divmod(batch, world)
    if rest or not share:
        raise ConfigError(
            "the global batch cannot be shared out evenly", where="global_batch", found=batch,
            expected=f"a multiple of {world} processes",
        )  # fmt: skip
    size = next(size for size in range(min(most or share, share), 0, -1) if share % size == 0)
    return size, share // size
