"""Log-mel spectrograms and MFCC by NumPy, pictures of them, and fingerprints.

MFCC: Davis and Mermelstein, 1980.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from components.lib.data.images import Pixels, png
from components.lib.data.mel import filters

Floats = npt.NDArray[np.float32]

WINDOW, HOP = 0.025, 0.010  # seconds
FLOOR = 1e-6  # power below which there is silence
PART = 4096  # frames at a time
QUIET, RANGE = 5.0, 8.0  # of fingerprints, as logarithms of power: 22 and 35 decibels below the loudest


def log_mel(waveform: npt.NDArray[np.int16], rate: int, bands: int = 40, hop: float = HOP) -> Floats:
    """(frames, bands) logarithms of the power in each band; a clip shorter than a window is padded."""
    width, step = round(WINDOW * rate), max(1, round(hop * rate))
    size = 1 << (width - 1).bit_length()
    samples = np.pad(waveform, (0, max(0, width - len(waveform))))
    frames = sliding_window_view(samples, width)[::step]
    window, weights = np.hanning(width).astype(np.float32), filters(rate, size, bands)
    parts = []
    for at in range(0, len(frames), PART):
        some = frames[at : at + PART].astype(np.float32) / 32768 * window
        power = np.abs(np.fft.rfft(some, size)).astype(np.float32) ** 2
        parts.append(np.log(power @ weights + FLOOR))
    return np.concatenate(parts)


def mfcc(mel: Floats, count: int = 13) -> Floats:
    """(frames, count) cepstral coefficients: the cosine transform of the bands, orthonormal."""
    bands = mel.shape[1]
    angles = np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(count)[None, :]
    basis = np.cos(angles) * np.sqrt(2 / bands)
    basis[:, 0] /= np.sqrt(2)
    found: Floats = mel @ basis.astype(np.float32)
    return found


def resized(mel: Floats, frames: int) -> Floats:
    """(frames, bands): the means of as many equal parts; of a short one, some frames twice."""
    edges = np.linspace(0, len(mel), frames + 1)
    starts = np.minimum(np.floor(edges[:-1]).astype(int), len(mel) - 1)
    stops = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    sums = np.concatenate([np.zeros((1, mel.shape[1])), np.cumsum(mel, axis=0, dtype=np.float64)])
    means: Floats = ((sums[stops] - sums[starts]) / (stops - starts)[:, None]).astype(np.float32)
    return means


def picture(waveform: npt.NDArray[np.int16], rate: int, height: int = 64, width: int = 192) -> Pixels:
    """(height, width, 1) spectrogram as it is drawn: time to the right, low pitches below, loud is dark."""
    mel = log_mel(waveform, rate, height, max(HOP, len(waveform) / rate / width))
    seen = resized(mel, min(width, len(mel))).T[::-1]
    low, high = np.quantile(seen, 0.05), seen.max()
    shown = 255 * (1 - np.clip((seen - low) / max(high - low, 1e-6), 0, 1))
    return shown.astype(np.uint8)[:, :, None]


def drawn(waveform: npt.NDArray[np.int16], rate: int) -> bytes:
    """That picture as a PNG file."""
    return png(picture(waveform, rate))


def fingerprint(waveform: npt.NDArray[np.int16], rate: int, side: int = 32) -> Pixels:
    """(side, side, 1) bands over time in grey, the same however loud: what near copies share.

    From the first frame that is nearly as loud as the loudest to the last, as encoders add silence.
    """
    mel = log_mel(waveform, rate, side, HOP / 2)
    loud = np.flatnonzero(mel.max(axis=1) > mel.max() - QUIET)
    seen = resized(mel[loud[0] : loud[-1] + 1], side).T
    shown = 255 * np.clip((seen - seen.max()) / RANGE + 1, 0, 1)
    return np.rint(shown).astype(np.uint8)[:, :, None]
