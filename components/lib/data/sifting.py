"""Sifting of listings: objects and members of archives that hold records, from what lies beside them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from components.lib.data import formats
from components.lib.data.formats import Layout
from components.lib.data.listing import (
    DESCRIPTION,
    DOCUMENTATION,
    UNKNOWN,
    Object,
    PassedOver,
    is_description,
    is_documentation,
)
from components.lib.data.streams import ARCHIVES, Stream, suffix

DOCUMENT = 1 << 20  # bytes up to which a README in an archive may be a document


def sift(found: Sequence[Object], layout: Layout, passed: PassedOver | None = None) -> list[Object]:
    """The objects that hold records, without those that stand beside them.

    Args:
        passed: gets the others: files whose ending means no format, documentation, annotations.

    Raises:
        DataError: if those of no known ending are not fewer than those that can be read.
    """
    if layout.format != "auto":
        return list(found)
    left_out = PassedOver() if passed is None else passed
    known = {*formats.suffixes(layout.reads), *ARCHIVES}
    kinds = {suffix(entry.name) for entry in found if not is_documentation(entry.name)} & known
    readable, strange = list[Object](), list[Object]()
    for entry in found:
        ending, name = suffix(entry.name), entry.name
        if entry.member or (entry.exact and ending in known):
            readable.append(entry)
        elif is_documentation(name) and kinds - {ending}:
            left_out.add(DOCUMENTATION, name)
        elif is_description(name):
            left_out.add(DESCRIPTION, name)
        else:
            (readable if ending in known else strange).append(entry)
    left_out.add(UNKNOWN, *(entry.name for entry in strange))
    if len(strange) >= max(1, len(readable)):
        raise formats.unknown(strange[0].name, tally(strange), layout)
    return readable


def members(found: Iterator[Stream], layout: Layout, passed: PassedOver) -> Iterator[Stream]:
    """A file, or the members of an archive that `sift` would take for data.

    Raises:
        DataError: if there are members, and none of a known ending.
    """
    known, endings = formats.suffixes(layout.reads), set[str]()
    strange, held = "", list[Stream]()
    for stream in found:
        if not stream.member:
            yield stream
            return
        if is_documentation(stream.member) and stream.suffix in (*known, ""):
            content = stream.file.read(DOCUMENT + 1)
            held.append(replace(stream, file=io.BytesIO(content)))
        elif is_description(stream.member):
            passed.add(DESCRIPTION, stream.name)
        elif stream.suffix in known:
            endings.add(stream.suffix)
            yield stream
        else:
            strange = stream.name
            passed.add(UNKNOWN, strange)
    for stream in held:
        large = stream.file.seek(0, io.SEEK_END) > DOCUMENT
        stream.file.seek(0)
        if large or endings - {stream.suffix} or stream.suffix not in known:
            passed.add(DOCUMENTATION, stream.name)
        else:
            endings.add(stream.suffix)
            yield stream
    if strange and not endings:
        raise formats.unknown(strange, suffix(strange), layout)


def tally(found: Sequence[Object]) -> str:
    """How many objects have which ending: '2 of .docx, 1 of no ending'."""
    counts = Counter(suffix(entry.name) or "no ending" for entry in found).most_common(5)
    return ", ".join(f"{count:,} of {ending}" for ending, count in counts)
