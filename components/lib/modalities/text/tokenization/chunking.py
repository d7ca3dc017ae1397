"""Texts in pieces that a tokenizer can be given at once: its time and memory grow with the longest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

PIECE = 1 << 19  # characters: the library needs 100 bytes a token meanwhile
RUN = 1 << 12  # characters without a break: unigram's time grows with the square of a word
UNBROKEN = re.compile(rf"\S{{{RUN}}}|\s{{{RUN}}}")
BREAK = re.compile(r"(?<=\S) ")


def pieces(text: str) -> Iterator[str]:
    """A very long text in parts, most others as they are.

    It is cut before a space that follows a word, where no token reaches across. A word, or white space, of
    more than `RUN` characters is cut in its middle.
    """
    if len(text) < RUN:
        yield text
        return
    for part in _broken(text):
        begin = 0
        while len(part) - begin > PIECE:
            limit = begin + PIECE
            breaks = [match.start() for match in BREAK.finditer(part, max(begin, limit - 4 * RUN) + 1, limit)]
            end = breaks[-1] if breaks else limit
            yield part[begin:end]
            begin = end
        yield part[begin:]


def is_language(piece: str) -> bool:
    """Whether a piece has breaks: what has none, for thousands of characters, teaches a tokenizer nothing."""
    return UNBROKEN.fullmatch(piece) is None


def _broken(text: str) -> Iterator[str]:
    """Parts without a run of more than 2 * `RUN` characters.

    Such a run fills a block that starts at a multiple of `RUN`, and most blocks show at once that they are
    not filled: nothing else of the text is looked at.
    """
    begin = 0
    for start in range(0, len(text) - RUN + 1, RUN):
        if UNBROKEN.match(text, start):
            if start > begin:
                yield text[begin:start]
            yield text[start : start + RUN]
            begin = start + RUN
    if begin < len(text):
        yield text[begin:]


def grouped(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of neighbours with `size` characters or a little more."""
    group, held = [], 0
    for text in texts:
        group.append(text)
        held += len(text)
        if held >= size:
            yield group
            group, held = [], 0
    if group:
        yield group
