"""Length filter: too few words to learn from, or too many to be a text."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.modalities.text.words import Document


@dataclass(frozen=True)
class Config:
    """Bounds in words (characters in scripts without spaces)."""

    minimum: int = setting(5, "fewest words of a document", minimum=0)
    maximum: int = setting(1_000_000, "most words of a document", minimum=1)


def reason(document: Document, config: Config) -> str | None:
    """Gopher (Rae et al. 2021) asks for 50 to 100,000 words; short documents are kept here by default."""
    if len(document) < config.minimum:
        return f"{len(document)} words, fewer than {config.minimum}"
    return f"{len(document)} words, more than {config.maximum}" if len(document) > config.maximum else None
