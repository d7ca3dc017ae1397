"""Settings of each stage that only vectors have."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting


@dataclass(frozen=True)
class Ingestion:
    """Equal rows count once; there is nothing to set."""


@dataclass(frozen=True)
class Tokenization:
    """Numbers are shifted and scaled to mean 0 and deviation 1 of the training split."""

    scaling: str = setting("", "URI of a trunk's vectors.json, whose mean and deviation are taken")


@dataclass(frozen=True)
class Pretraining:
    """The network, and how far two views of one row differ."""

    architecture: str = setting("mlp", "family of networks", choices=("mlp",))
    widths: tuple[int, ...] = setting((784, 256, 32), "of its layers; the last one is the code", minimum=1)
    noise: float = setting(0.5, "deviation of the noise on a view; numbers have 1", minimum=0.0, maximum=10.0)


@dataclass(frozen=True)
class Finetuning:
    """Branches read the columns of their trunk: there is nothing to set."""
