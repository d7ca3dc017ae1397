"""Features of clips for linear models: statistics of log-mel spectrograms and of MFCC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.lib.modalities.audio import spectrogram
from components.lib.modalities.audio.labelled import Reader
from components.lib.models.linear import Features, Floats, Weigh, standard
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

UNITS = ("sample",)
PARTS = 4  # of a clip, whose means are features each
COEFFICIENTS = 13


def features(unit: str, store: Store, trunk: Manifest, folder: Path) -> dict[str, Features]:
    """What is known of a clip at the trunk's sampling rate; nothing is fitted."""
    reader = Reader.open(folder)
    return {"log-mel": Statistics(reader, cepstral=False), "MFCC": Statistics(reader, cepstral=True)}


class Statistics:
    """Mean and deviation over a clip of each band and of its change, and its means in each quarter."""

    megabytes = 0.05  # of the filters

    def __init__(self, reader: Reader, cepstral: bool) -> None:
        self.reader, self.cepstral = reader, cepstral

    def rows(self, inputs: Mapping[str, Sequence[bytes]]) -> Floats:
        """(n, features)."""
        files = next(iter(inputs.values()))
        found = [self._row(waveform) for data in files for waveform in self.reader.waveforms([data])]
        return np.array(found, np.float32).reshape(len(found), -1)

    def weigh(self, rows: Any) -> Weigh:
        """Standardised."""
        return standard(rows)

    def _row(self, waveform: Any) -> Floats:
        mel = spectrogram.log_mel(waveform, self.reader.processor.rate)
        seen = spectrogram.mfcc(mel, COEFFICIENTS) if self.cepstral else mel
        change = np.diff(seen, axis=0, append=seen[-1:])
        parts = spectrogram.resized(seen, PARTS)
        return np.concatenate([seen.mean(0), seen.std(0), change.std(0), *parts]).astype(np.float32)
