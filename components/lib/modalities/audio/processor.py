"""Processor file of an audio network: its sampling rate, and whether inputs have mean 0 and variance 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from components.lib.core.errors import IntegrityError
from components.lib.modalities.audio import recordings
from components.lib.modalities.audio.recordings import Waveform

PROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class Processor:
    """How recordings become inputs.

    Attributes:
        rate: samples a second.
        normalize: whether each input is brought to mean 0 and variance 1.
        padded: whether padding changes nothing; else (group norm) inputs of one length are read together.
    """

    rate: int
    normalize: bool = True
    padded: bool = True

    def read(self, data: bytes, seconds: float = 1e9) -> Waveform:
        """The beginning of an audio file at this rate; raises DataError as `recordings.decode` does."""
        return recordings.decode(data, self.rate, seconds).waveform

    def save(self, folder: Path) -> None:
        """Writes the file that `Wav2Vec2FeatureExtractor` of `transformers` reads."""
        (folder / PROCESSOR).write_text(self.file())

    def file(self) -> str:
        """What `save` writes."""
        values = {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": self.rate,
            "padding_value": 0.0,
            "padding_side": "right",
            "do_normalize": self.normalize,
            "return_attention_mask": self.padded,
            "trunkline": asdict(self),
        }
        return json.dumps(values, indent=1, sort_keys=True) + "\n"

    @classmethod
    def open(cls, folder: Path) -> Processor:
        """Reads what `save` wrote."""
        return cls.parse((folder / PROCESSOR).read_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Processor:
        """The processor that the content of such a file describes."""
        return cls(**json.loads(data)["trunkline"])

    def probes(self) -> list[str]:
        """Fingerprints of made sounds at this rate: they tell when a library resamples anew."""
        return [blake2b(self.read(data).tobytes(), digest_size=16).hexdigest() for data in _made()]

    def check(self, probes: Sequence[str], where: str) -> None:
        """Raises IntegrityError if the probes come out other than when the corpus was resampled."""
        found = self.probes()
        if found != list(probes):
            what, fix = "clips are not resampled as they were for the trunk", "use the pinned version of soxr"
            raise IntegrityError(what, where=where, found=found, expected=list(probes), fix=fix)


def _made() -> list[bytes]:
    """A rising tone at three rates."""
    made = []
    for rate in (8_000, 16_000, 44_100):
        time = np.arange(rate // 5) / rate
        tone = np.rint(20_000 * np.sin(2 * np.pi * (200 * time + 6_000 * time**2)))
        made.append(recordings.encoded(tone.astype(np.int16), rate))
    return made
