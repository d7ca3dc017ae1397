"""Made-up sounds for the packaged sample and for tests: letters as tones, one after the other."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

RATE = 8_000  # samples a second
TONES = {"a": 300.0, "e": 700.0, "o": 1500.0}  # letter -> hertz
SECONDS = (0.11, 0.17)  # of a letter
VOICES = "uvw"


def record(draw: random.Random) -> dict[str, Any]:
    """A clip as `audio`, with its letters as `text`, the last of them as `label`, and its voice as `speaker`.

    A voice is higher or lower than others; letters are longer or shorter, and each clip louder or softer.
    """
    text = "".join(draw.choice(sorted(TONES)) for _ in range(draw.randint(1, 3)))
    voice = draw.choice(VOICES)
    generator = np.random.default_rng(draw.getrandbits(32))
    pitch = (0.95 + 0.05 * VOICES.index(voice)) * generator.uniform(0.98, 1.02)
    tones = []
    for letter in text:
        time = np.arange(round(generator.uniform(*SECONDS) * RATE)) / RATE
        tones.append(np.sin(2 * np.pi * pitch * TONES[letter] * time) * np.hanning(len(time)))
    samples = generator.uniform(2_000, 12_000) * np.concatenate(tones)
    samples += generator.uniform(10, 300) * generator.standard_normal(len(samples))
    audio = {"array": np.rint(samples).astype(int).tolist(), "sampling_rate": RATE}
    return {"audio": audio, "label": text[-1], "text": text, "speaker": voice}
