"""Plain text: a document a file, a line or a paragraph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.data.decoding import LONGEST, Line, lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.streams import Stream

SUFFIXES = (".txt", ".text", ".md", ".rst")
HOLDS = "text"


@dataclass(frozen=True)
class Config:
    """How a text file is cut into documents."""

    unit: str = setting(
        "document",
        "one document a file ('document'), a line, or a paragraph (split at blank lines)",
        choices=("document", "line", "paragraph"),
    )


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """Records with the one field `text`."""
    found = lines(stream, encoding)
    if config.unit == "line":
        for line in found:
            if line.error:
                yield rejected(place(stream, line.number), line.error, line.text)
            elif line.text.strip():
                yield Record({"text": line.text}, place(stream, line.number))
            else:
                stream.tally.blank += 1
    else:
        yield from _blocks(stream, found, split=config.unit == "paragraph")


def _blocks(stream: Stream, found: Iterator[Line], *, split: bool) -> Iterator[Record | Rejected]:
    block: list[Line] = []
    size = count = 0
    for line in found:
        if split and not line.error and not line.text.strip():
            yield from _block(stream, block, size, count)
            block, size, count = [], 0, 0
            stream.tally.blank += 1
            continue
        count += 1
        size += len(line.text) + 1
        if size <= LONGEST:
            block.append(line)
    yield from _block(stream, block, size, count)


def _block(stream: Stream, block: list[Line], size: int, count: int) -> Iterator[Record | Rejected]:
    """The document of `count` lines, of which `block` are those within the limit."""
    if not count:
        return
    text = "\n".join(line.text for line in block)
    broken = next((line for line in block if line.error), None)
    if broken:
        yield rejected(place(stream, broken.number), broken.error, broken.text, count)
    elif size > LONGEST:
        reason = f"the document is longer than {LONGEST:,} characters: set format_options.txt.unit"
        yield rejected(place(stream, block[0].number if block else 1), reason, text, count)
    elif text.strip():
        yield Record({"text": text}, place(stream, block[0].number), count)
    else:
        stream.tally.blank += count
