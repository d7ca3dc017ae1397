"""Bands that are equally wide in mel, over the bins of a Fourier transform.

Mel: Stevens, Volkmann and Newman, 1937, by O'Shaughnessy's formula.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt


@cache
def filters(
    rate: int, size: int, bands: int, low: float = 50.0, high: float = 8000.0
) -> npt.NDArray[np.float32]:
    """(size // 2 + 1, bands) triangles over the bins of a Fourier transform, equally wide in mel."""

    def mel(hertz: float) -> float:
        return float(2595 * np.log10(1 + hertz / 700))

    edges = np.linspace(mel(low), mel(min(high, rate / 2)), bands + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = np.arange(size // 2 + 1)[:, None] * rate / size
    rising = (bins - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - bins) / (hertz[2:] - hertz[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
