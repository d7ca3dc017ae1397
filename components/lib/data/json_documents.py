"""JSON documents read as a stream: an array of objects, `{"data": [...]}`, or objects one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from components.lib.core.errors import DataError
from components.lib.data.decoding import LONGEST, UNDECODED

CHUNK = 1 << 16  # characters read ahead; a value that needs more doubles them
BLANK = re.compile(r"[ \t\n\r]*")


class Decoder:
    """The parser of the standard library, which tells of a key that stands twice in one object."""

    def __init__(self) -> None:
        self.twice = ""
        self.decode: Callable[[str, int], tuple[Any, int]]
        self.decode = json.JSONDecoder(object_pairs_hook=self._object).raw_decode

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            self.twice = next(name for name in names if names.count(name) > 1)
        return found

    def problem(self) -> str:
        """What is wrong with the values decoded since it was asked last; '' if nothing is."""
        name, self.twice = self.twice, ""
        return f"the key '{name}' stands twice in an object" if name else ""


class Document:
    """Values of a JSON text, cut off one by one; no more of the text is held than the value at hand.

    Args:
        found: the text in pieces, each with what is wrong with it, if anything.
        where: a place in the file, of the number of its line.

    Attributes:
        line: number of the line at which the next value begins.
    """

    def __init__(self, found: Iterator[tuple[str, str]], where: Callable[[int], str]) -> None:
        self._found, self._where, self._decoder = found, where, Decoder()
        self._text, self._at, self.line = "", 0, 1
        self._errors: list[str] = []

    def peek(self) -> str:
        """The first character of what comes next; '' at the end."""
        while True:
            match = BLANK.match(self._text, self._at)
            assert match is not None
            self._skip(match.end())
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, expected: str) -> str:
        """The next character; raises DataError if it is none of `expected`."""
        found = self.peek()
        if not found or found not in expected:
            self._refuse(f"one of {' '.join(expected)} is expected, not {found or 'the end'}")
        self._skip(self._at + 1)
        return found

    def begins(self, start: str) -> bool:
        """Whether the next characters but blanks are these."""
        self.peek()
        while len(self._text) - self._at < CHUNK and self._more():
            pass
        return re.sub(BLANK, "", self._text[self._at : self._at + CHUNK]).startswith(start)

    def key(self) -> tuple[str, str]:
        """As `value`, of a key and the colon behind it."""
        if self.peek() != '"':
            self._refuse("a key in quotes is expected")
        name, problem = self.value()
        self.take(":")
        return str(name), problem

    def value(self) -> tuple[Any, str]:
        """The next value, and what is wrong with it, if anything; raises DataError if it is not JSON."""
        self.peek()
        while True:
            try:
                found, end = self._decoder.decode(self._text, self._at)
                if end < len(self._text) or not self._more():
                    break
            except (ValueError, RecursionError) as error:
                if len(self._text) - self._at > LONGEST:
                    self._refuse(f"a value is longer than {LONGEST:,} characters, or none: {error}")
                if isinstance(error, RecursionError) or not self._more():
                    self._refuse(str(error))
        problem = self._decoder.problem()
        if self._errors and UNDECODED in self._text[self._at : end]:
            problem = self._errors[-1]
        self._skip(end)
        return found, problem

    def _more(self) -> bool:
        """Reads on, by as much as is held, so that a long value is tried a few times only."""
        held, parts = self._text[self._at :], list[str]()
        wanted = max(CHUNK, len(held))
        while wanted > 0 and (piece := next(self._found, None)) is not None:
            parts.append(piece[0])
            self._errors += [piece[1]] * bool(piece[1])
            wanted -= len(piece[0])
        self._text, self._at = held + "".join(parts), 0
        return bool(parts)

    def _skip(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _refuse(self, found: str) -> None:
        fix = "correct it, or leave the file out"
        raise DataError("a JSON document cannot be read", where=self._where(self.line), found=found, fix=fix)
