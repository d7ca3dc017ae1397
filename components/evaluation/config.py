"""Settings of evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting


@dataclass(frozen=True)
class Config:
    """How a branch is scored.

    Attributes:
        model: name under which the branch is registered; its `champion` is scored on the same examples.
        replicates: bootstrap resamplings behind each interval.
        confidence: of the intervals, two-sided.
        seed: of the resampling.
        batch_size: examples a forward pass.
        explain: answers, right and wrong, whose words or pixels are explained.
    """

    model: str = setting(help="the registered model whose champion the branch is compared with")
    replicates: int = setting(2000, "bootstrap resamplings", minimum=100, maximum=100_000)
    confidence: float = setting(0.95, "of the intervals", minimum=0.5, maximum=0.999)
    seed: int = setting(0, "of the resampling", minimum=0)
    batch_size: int = setting(64, "examples a forward pass", minimum=1)
    explain: int = setting(2, "answers that are explained by integrated gradients", minimum=0, maximum=100)
