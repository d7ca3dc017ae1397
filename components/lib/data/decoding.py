"""Encoding detection: bytes to lines of text; a line that cannot be decoded is told, not guessed."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from components.lib.core.errors import ConfigError
from components.lib.data.streams import Stream

HEAD = 1 << 16  # bytes looked at to find the encoding
LONGEST = 32 << 20  # bytes of a line; what is longer is refused, so that memory stays bounded
USUAL = ("cp1252", "cp1251")  # by far the most common single-byte encodings, the first one first
SLACK = 0.1  # how much noisier than the best guess a more usual encoding may look and still be taken
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
)  # beginnings of files that are no text, whatever they are called
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Line:
    """One line, its number from 1, and what was wrong with it, if anything."""

    number: int
    text: str
    error: str = ""


def lines(stream: Stream, encoding: str = "auto") -> Iterator[Line]:
    r"""The lines of a file, counted in its tally, without their '\n' or '\r\n'.

    UTF-8 unless a byte order mark or the first 64 KiB say otherwise. A line that does not decode, or is
    longer than 32 MiB, comes as a Line with an `error` and an excerpt; so does a file that is no text at all.
    """
    buffered: io.BufferedReader[Any] = io.BufferedReader(cast(Any, stream.file), HEAD)
    stream.tally.unit = "lines"
    try:
        head = buffered.peek(HEAD)
        for beginning, kind in FOREIGN:
            if head.startswith(beginning):
                stream.tally.read = 1
                yield Line(1, "", f"the file is {kind}, not text")
                return
        name, skip = detect(head) if encoding == "auto" else (known(encoding), _mark(head)[1])
        buffered.read(skip)
        wide = name.startswith(("utf-16", "utf-32"))
        for line in _wide(buffered, name) if wide else _narrow(buffered, name, skip):
            stream.tally.read = line.number
            yield line
    finally:
        buffered.detach()  # the file belongs to the caller


def known(encoding: str) -> str:
    """The codec's own name; raises ConfigError if Python has no such codec."""
    try:
        found = codecs.lookup(encoding).name
    except LookupError:
        raise ConfigError("there is no such encoding", where="encoding", found=encoding) from None
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(found, found)


def detect(head: bytes) -> tuple[str, int]:
    """The encoding of a file that begins with `head`, and the length of its byte order mark.

    A file in which most lines with non-ASCII bytes are UTF-8 is UTF-8, so that one broken line does not
    turn all the others into mojibake. Otherwise charset-normalizer decides; what it cannot name is UTF-8.
    """
    marked, skip = _mark(head)
    if marked:
        return marked, skip
    if b"\0" not in head:
        whole = head[: head.rfind(b"\n") + 1] or head[:-4]  # the last line may be cut inside a character
        special = [line for line in whole.split(b"\n") if not line.isascii()]
        if 2 * sum(_is_utf8(line) for line in special) >= len(special):
            return "utf-8", 0
    from charset_normalizer import from_bytes

    found = list(from_bytes(head[: len(head) // 4 * 4], threshold=0.3))
    near = [match.encoding for match in found if match.chaos <= found[0].chaos + SLACK]
    usual = [encoding for encoding in USUAL if encoding in near]
    name = codecs.lookup([*usual, *near, "utf-8"][0]).name
    if name == "ascii" or (name.startswith(("utf-16", "utf-32")) and b"\0" not in head):
        name = "utf-8"
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(name, name), 0


def _mark(head: bytes) -> tuple[str, int]:
    return next(((name, len(mark)) for mark, name in MARKS if head.startswith(mark)), ("", 0))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _narrow(file: io.BufferedReader[Any], encoding: str, offset: int) -> Iterator[Line]:
    """Encodings in which a newline is the one byte 0x0A."""
    number = 0
    while raw := file.readline(LONGEST):
        number += 1
        error, size = "", len(raw)
        if size == LONGEST and not raw.endswith(b"\n"):
            error = f"the line is longer than {LONGEST:,} bytes"
            while rest := file.readline(LONGEST):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
        yield _decoded(number, raw, encoding, offset, error)
        offset += size


def _decoded(number: int, raw: bytes, encoding: str, offset: int, error: str) -> Line:
    if not error:
        try:
            return Line(number, raw.decode(encoding).rstrip("\r\n"))
        except UnicodeDecodeError as problem:
            at = offset + problem.start
            error = f"byte {at:,} of the file is not {encoding} (set 'encoding' if it is something else)"
    return Line(number, raw[:200].decode(encoding, "replace").rstrip("\r\n"), error)


def _wide(file: io.BufferedReader[Any], encoding: str) -> Iterator[Line]:
    """UTF-16 and UTF-32: after an error nothing can be trusted, so that reading ends there."""
    number, text = 0, io.TextIOWrapper(file, encoding, newline="\n")
    try:
        while line := text.readline(LONGEST):
            number += 1
            yield Line(number, line.rstrip("\r\n"))
    except UnicodeDecodeError as problem:
        yield Line(number + 1, "", f"the rest of the file is not {encoding}: {problem.reason}")
    finally:
        text.detach()
