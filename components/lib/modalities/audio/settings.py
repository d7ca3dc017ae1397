"""Settings of each stage that only audio has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting

SIZES = ("nano", "micro", "tiny", "small", "base")


@dataclass(frozen=True)
class Ingestion:
    """Rules and near copies of clips."""

    shortest: float = setting(0.1, "seconds that a clip has at least", minimum=0.0, maximum=3600.0)
    longest: float = setting(900.0, "seconds that a clip has at most", minimum=0.1, maximum=14_400.0)
    silent: float = setting(
        60.0, "decibels below full scale from which on a clip holds nothing", minimum=1.0, maximum=100.0
    )
    clipped: float = setting(
        0.05, "share of samples at full scale above which a clip is overdriven", minimum=0.0, maximum=1.0
    )
    near_duplicates: float = setting(
        0.985,
        "correlation, as spectrograms of 32 x 32, above which one clip is dropped; 0: off",
        minimum=0,
        maximum=1,
    )

    def check(self) -> Iterator[ConfigError]:
        """Whether a clip can be long enough."""
        if self.shortest >= self.longest:
            found, expected = self.shortest, f"less than longest, {self.longest:g}"
            yield ConfigError(
                "no clip is long enough", where="ingestion.shortest", found=found, expected=expected
            )


@dataclass(frozen=True)
class Tokenization:
    """The one sampling rate of all clips."""

    rate: int = setting(16_000, "samples a second", minimum=4_000, maximum=48_000)
    rates: str = setting("", "URI of a trunk's preprocessor_config.json: its sampling rate is taken")
    shard_bytes: int = setting(256 << 20, "bytes from which on a shard is closed", minimum=1)


@dataclass(frozen=True)
class Pretraining:
    """Which network reads audio, how much of a clip a sample is, and how far two views of it differ."""

    architecture: str = setting("wav2vec2", "family of networks", choices=("melcnn", "wav2vec2"))
    size: str = setting("micro", "layers and width, by name", choices=SIZES)
    seconds: float = setting(1.0, "of a sample: a crop of a clip", minimum=0.1, maximum=60.0)
    dropout: float = setting(0.0, "of hidden states", minimum=0.0, maximum=0.9)
    noise: float = setting(
        0.0, "largest deviation of noise, in deviations of the clip", minimum=0.0, maximum=2.0
    )
    speed: float = setting(0.0, "a sample is up to this share faster or slower", minimum=0.0, maximum=0.5)
    pitch: float = setting(
        0.0,
        "melcnn: the voice of a view is up to this share higher or lower, its tempo as it was",
        minimum=0.0,
        maximum=0.5,
    )
    hidden: float = setting(
        0.2, "share of frames that a view does not show (SpecAugment)", minimum=0.0, maximum=0.9
    )
    bands: float = setting(
        0.1, "largest share of features that a view does not show", minimum=0.0, maximum=0.9
    )

    def check(self) -> Iterator[ConfigError]:
        """Whether the network has what is set."""
        lacks = {"dropout": "melcnn", "pitch": "wav2vec2"}
        for name, architecture in lacks.items():
            if getattr(self, name) and self.architecture == architecture:
                where, fix = f"pretraining.trunk.{name}", "set it to 0, or choose another architecture"
                yield ConfigError(
                    f"{architecture} has no {name}", where=where, found=getattr(self, name), fix=fix
                )


@dataclass(frozen=True)
class Finetuning:
    """How much of a clip a branch reads."""

    seconds: float = setting(
        30.0, "that are read of an input, from its beginning", minimum=0.1, maximum=600.0
    )
