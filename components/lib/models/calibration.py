"""Temperature scaling: one number that makes the probabilities of a classifier mean what they say.

Logits are divided by T > 0 before the softmax, so that the class of an example never changes. T is the one
at which held-out labels are the least surprising (their negative log-likelihood is smallest). Source: Guo et
al., On calibration of modern neural networks, ICML 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SETTING = "calibration_temperature"  # of a branch's config.json
GRID = np.geomspace(0.1, 10.0, 33)  # temperatures that are tried
PRIOR = 0.5  # deviation of log T


def temperature(model: Any) -> float:
    """That of a branch; 1 where none was fitted."""
    return float(getattr(model.config, SETTING, 1.0))


def surprise(logits: Floats, targets: Sequence[int] | NDArray[np.int64]) -> Floats:
    """Negative log-likelihood of the targets at each temperature of GRID, summed over examples.

    Args:
        logits: (n, classes).
        targets: (n,) classes.
    """
    rows = np.arange(len(logits))
    found = np.zeros(len(GRID))
    for place, one in enumerate(GRID):
        scaled = logits / one
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        found[place] = (np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, np.asarray(targets)]).sum()
    return found


def fitted(surprises: Floats) -> float:
    """The temperature of the least surprise; 1 if that is not defined, as where votes leave a class nothing.

    A normal prior on log T of deviation 0.5 keeps it near 1 where few labels speak: that every held-out
    answer is right shows that a branch is good, and not that it never errs.
    """
    total = surprises + np.log(GRID) ** 2 / (2 * PRIOR**2)
    if not np.isfinite(total).all():
        return 1.0
    at = min(max(int(total.argmin()), 1), len(GRID) - 2)
    below, least, above = total[at - 1 : at + 2]
    bend = below - 2 * least + above  # a parabola through the three lowest points, over log T
    shift = np.clip((below - above) / (2 * bend), -1, 1) if bend > 0 else 0.0
    return round(float(GRID[at] * (GRID[1] / GRID[0]) ** shift), 4)
