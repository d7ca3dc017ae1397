"""Integrated gradients: what of an input made a network answer as it did (Sundararajan et al., ICML 2017).

Gradients of a logit are averaged on the straight line from a baseline to the input. By the axiom of
completeness attributions add up to the difference of the logits at both ends: where they do not, the picture
says nothing, and is marked. By captum (Kokhlikyan et al., 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STEPS = (16, 64, 128)  # places on the line; more, as long as completeness fails
COMPLETE = 0.01  # share of the difference of the logits that may be missing
ROWS = 32  # places that are computed at once


@dataclass(frozen=True)
class Attribution:
    """Of one input.

    Attributes:
        scores: in the shape of the input; what speaks for the class is positive.
        rise: logit of the input less that of the baseline.
        missing: what the scores lack of it, as a share.
    """

    scores: NDArray[np.float64]
    rise: float
    missing: float

    @property
    def complete(self) -> bool:
        """Whether the scores add up to what they explain."""
        return self.missing <= COMPLETE


def integrated(
    logits: Callable[[Tensor], Tensor], given: Tensor, baseline: Tensor, target: int
) -> Attribution:
    """Attributions of the logit of one class.

    Args:
        logits: (n, ...) inputs -> (n, classes).
        given: (1, ...).
        baseline: of the same shape: an input that says nothing.
        target: the class.

    Returns:
        With as many steps as completeness needs, at most the last of STEPS.
    """
    from captum.attr import IntegratedGradients

    with torch.no_grad():
        ends = [float(logits(one)[0, target]) for one in (given, baseline)]
    rise, found = ends[0] - ends[1], Attribution(np.zeros(tuple(given.shape[1:])), 0.0, 1.0)
    for steps in STEPS:
        parts: Any = IntegratedGradients(logits).attribute(
            given, baseline, target=target, n_steps=steps, internal_batch_size=ROWS
        )
        scores = parts[0].detach().double().cpu().numpy()
        missing = abs(float(scores.sum()) - rise) / max(abs(rise), 1e-12)
        found = Attribution(scores, rise, missing)
        if found.complete:
            break
    return found
