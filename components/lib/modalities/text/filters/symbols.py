"""Symbol filter: marks of pages that are not prose: hashes, ellipses, bullets, very long words."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.modalities.text.words import Document

BULLETS = ("\u2022", "\u2023", "\u25b6", "\u25cf", "\u25e6", "\u25a0", "\u25a1", "- ", "* ")
ENDS = ("...", "\u2026")


@dataclass(frozen=True)
class Config:
    """Shares above which a document is dropped."""

    symbols: float = setting(0.1, "'#' and '...' for each word", minimum=0)
    bullets: float = setting(0.9, "share of lines that begin with a bullet", minimum=0, maximum=1)
    ellipses: float = setting(0.3, "share of lines that end with an ellipsis", minimum=0, maximum=1)
    word: int = setting(1000, "characters of the longest word", minimum=1)


def reason(document: Document, config: Config) -> str | None:
    """Gopher's rules (Rae et al. 2021); 'word' catches encoded data, and is not asked of lines."""
    text, words, lines = document.text, max(len(document), 1), document.lines
    for symbol in ("#", "...", "\u2026"):
        if text.count(symbol) > config.symbols * words:
            return f"{text.count(symbol)} '{symbol}' in {words} words"
    if sum(line.startswith(BULLETS) for line in lines) > config.bullets * len(lines):
        return "nearly all lines are bullets"
    if sum(line.endswith(ENDS) for line in lines) > config.ellipses * len(lines):
        return "too many lines end with an ellipsis"
    longest = int(document.lengths.max(initial=0))
    return f"a word of {longest} characters" if longest > config.word else None
