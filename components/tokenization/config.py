"""Settings of tokenization that every modality has; its own stand in its file of `modalities`."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting


@dataclass(frozen=True)
class Config:
    """How a corpus becomes what a trunk reads."""

    modality: str = setting("text", "kind of data: a file of components/tokenization/modalities")
    workers: int = setting(0, "threads that encode; 0: one a core", minimum=0, maximum=1024)
