"""Settings of tokenization; those of a modality stand among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.lib import executors, modalities
from components.lib.core.errors import ConfigError
from components.lib.core.settings import from_dict, part, setting


@dataclass(frozen=True)
class Config:
    """How a corpus becomes what a trunk reads.

    Attributes:
        own: the modality's `Tokenization`.
    """

    modality: str = setting(help="kind of data: a folder of components/lib/modalities")
    workers: int = setting(0, "threads that encode; 0: one a core", minimum=0, maximum=1024)
    engine: str = setting("processes", "what encodes texts: a file of components/lib/executors, such as ray")
    address: str = setting("", "of the engine's cluster, host:port; empty: one of this machine")
    own: Any = part()

    def check(self) -> Iterator[ConfigError]:
        """What spans several settings."""
        yield from executors.check(self.engine, self.address, "tokenization")


def configured(values: Mapping[str, Any], where: str = "tokenization") -> Config:
    """The checked settings for the modality that they name; raises ConfigError."""
    own = modalities.load(str(values.get("modality", "")), "settings").Tokenization
    return from_dict(Config, values, where, {"own": own})
