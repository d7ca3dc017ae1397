"""Bytes to lines of text; a line that cannot be decoded is told, not guessed."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, cast

from components.lib.data.encodings import HEAD, detect, known, mark
from components.lib.data.streams import Stream

LONGEST = 32 << 20  # bytes of a line; what is longer is refused, so that memory stays bounded
PIECE = 1 << 16  # bytes of a piece of a document
UNDECODED = "\udcff"  # what stands in a broken line for what is not of its encoding; no codec gives it
codecs.register_error("undecoded", lambda problem: (UNDECODED, getattr(problem, "end", 0)))
FOREIGN = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\xd0\xcf\x11\xe0", "an office document"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\xfd7zXZ\x00", "an xz file: compress it with gzip or zstd"),
    (b"BZh91AY&SY", "a bzip2 file: compress it with gzip or zstd"),
    (b"PAR1", "a parquet file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x7fELF", "a program"),
)  # beginnings of files that are not text, whatever they are called


class Line(NamedTuple):
    """One line, its number from 1, and what was wrong with it, if anything.

    A line that does not decode has all of its text, with `UNDECODED` for what is wrong, so that a parser sees
    its quotes and brackets; of one that is too long there is but the beginning.
    """

    number: int
    text: str
    error: str = ""


def lines(stream: Stream, encoding: str = "auto", document: re.Pattern[str] | None = None) -> Iterator[Line]:
    r"""The lines of a file, counted in its tally, without their '\n', '\r\n' or, if it has no '\n', '\r'.

    UTF-8 unless a byte order mark or a sample of the file say otherwise (`encodings.detect`). A line that
    does not decode, or is too long, comes as a Line with an `error`; so does a file that is not text.

    Args:
        document: where a text begins so, it comes in pieces that are not lines, and whose number is 0.

    Raises:
        DataError: if the encoding is to be detected, and is not sure.
    """
    buffered: io.BufferedReader[Any] = io.BufferedReader(cast(Any, stream.file), HEAD)
    stream.tally.unit = "lines"
    try:
        yield from _cut(buffered, stream, encoding, document)
    finally:
        with suppress(ValueError):  # the file belongs to the caller, who may have closed it
            buffered.detach()


def _cut(
    file: io.BufferedReader[Any], stream: Stream, encoding: str, document: re.Pattern[str] | None
) -> Iterator[Line]:
    head, tally = file.peek(HEAD), stream.tally
    for beginning, kind in FOREIGN:
        if head.startswith(beginning):
            tally.read = 1
            yield Line(1, "", f"the file is {kind}, not text")
            return
    if encoding == "auto":
        name, skip, note = detect(head, stream.file, stream.name)
    else:
        name, skip, note = known(encoding), mark(head)[1], ""
    head = head[len(file.read(skip)) :]
    wide = name.startswith(("utf-16", "utf-32"))
    text = codecs.getincrementaldecoder(name)("ignore").decode(head) if wide else head.decode("latin-1")
    old = "\r" in text and "\n" not in text
    tally.notes += [note] * bool(note) + ["its lines end with CR alone"] * old
    if document is not None and document.match(text):
        yield from _pieces(file, name)
        return
    for line in (_wide if wide else _narrow)(file, name, skip, old):
        tally.read = line.number
        yield line


class _NewLines(io.RawIOBase):
    r"""A file whose '\r' and '\r\n' are '\n'."""

    def __init__(self, source: io.BufferedReader[Any]) -> None:
        self._source, self._split = source, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while data := self._source.read(len(buffer)):
            given = data.removeprefix(b"\n") if self._split else data  # the '\r' before it was a line end
            self._split = data.endswith(b"\r")
            given = given.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            buffer[: len(given)] = given
            if given:
                return len(given)
        return 0


def _narrow(file: io.BufferedReader[Any], encoding: str, offset: int, old: bool) -> Iterator[Line]:
    """Encodings in which a newline is the one byte 0x0A; `old`: or 0x0D."""
    number = 0
    readline = (io.BufferedReader(_NewLines(file), HEAD) if old else file).readline
    while raw := readline(LONGEST):
        number += 1
        error, size = "", len(raw)
        if size == LONGEST and not raw.endswith(b"\n"):
            error = f"the line is longer than {LONGEST:,} bytes"
            while rest := readline(LONGEST):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
        yield _decoded(number, raw, encoding, offset, error)
        offset += size


def _pieces(file: io.BufferedReader[Any], encoding: str) -> Iterator[Line]:
    decoder = codecs.getincrementaldecoder(encoding)("undecoded")
    while data := file.read(PIECE):
        text = decoder.decode(data)
        yield Line(0, text, f"not {encoding}" if UNDECODED in text else "")
    rest = decoder.decode(b"", final=True)
    yield Line(0, rest, f"not {encoding}" if rest else "")


def _decoded(number: int, raw: bytes, encoding: str, offset: int, error: str) -> Line:
    if error:
        shown = raw[:200].decode(encoding, "replace").replace('"', "'")  # one of a pair would open a field
        return Line(number, shown.rstrip("\r\n"), error)
    try:
        return Line(number, raw.decode(encoding).rstrip("\r\n"))
    except UnicodeDecodeError as problem:
        at = offset + problem.start
        error = f"byte {at:,} of the file is not {encoding} (set 'encoding' if it is something else)"
        return Line(number, raw.decode(encoding, "undecoded").rstrip("\r\n"), error)


def _wide(file: io.BufferedReader[Any], encoding: str, _: int, old: bool) -> Iterator[Line]:
    """UTF-16 and UTF-32: after an error nothing can be trusted, so that reading ends there."""
    number, text = 0, io.TextIOWrapper(file, encoding, newline=None if old else "\n")
    try:
        while line := text.readline(LONGEST):
            number += 1
            yield Line(number, line.rstrip("\r\n"))
    except UnicodeDecodeError as problem:
        yield Line(number + 1, "", f"the rest of the file is not {encoding}: {problem.reason}")
    finally:
        text.detach()
