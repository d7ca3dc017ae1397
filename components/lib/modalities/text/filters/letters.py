"""Letter filter: too few words with a letter in them, as in tables, hashes, encoded binaries."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.modalities.text.words import Document


@dataclass(frozen=True)
class Config:
    """The share of words that must hold a letter of any script."""

    minimum: float = setting(0.6, "share of words with a letter", minimum=0, maximum=1)


def reason(document: Document, config: Config) -> str | None:
    """Gopher (Rae et al. 2021) asks for 0.8; here numbers and loose punctuation are words of their own."""
    share = float(document.letters.mean()) if len(document) else 0.0
    return f"{share:.0%} of the words have a letter" if share < config.minimum else None
