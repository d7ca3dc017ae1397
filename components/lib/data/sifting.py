"""Sifting of listings: objects and members of archives that hold records, from what lies beside them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from components.lib.data import formats
from components.lib.data.formats import Layout
from components.lib.data.listing import (
    ANNOTATION,
    DESCRIPTION,
    DOCUMENTATION,
    UNKNOWN,
    Object,
    PassedOver,
    is_description,
    is_documentation,
)
from components.lib.data.streams import ARCHIVES, Stream, suffix

# Tables, captions, boxes: what is written of images beside them; and the classes of IDX images.
ANNOTATIONS = (
    ".csv",
    ".tsv",
    ".tab",
    ".json",
    ".jsonl",
    ".ndjson",
    ".xml",
    ".txt",
    ".yaml",
    ".yml",
    ".names",
)
CLASSES = ".idx1-ubyte"


def sift(
    found: Sequence[Object],
    layout: Layout,
    passed: PassedOver | None = None,
    beside: list[Object] | None = None,
) -> list[Object]:
    """The objects that hold records, without those that stand beside them.

    Args:
        passed: gets the others: files whose ending means no format, documentation, annotations.
        beside: gets the annotations of images, where whoever asks reads them.

    Raises:
        DataError: if those of no known ending are not fewer than those that can be read.
    """
    left_out = PassedOver() if passed is None else passed
    known = {*formats.suffixes(layout.reads), *ARCHIVES}
    endings = {suffix(entry.name) for entry in found if not is_documentation(entry.name)} & known
    sorted_out: dict[str, list[Object]] = defaultdict(list)
    for entry in found:
        sorted_out[_why(entry, known, endings, layout)].append(entry)
    readable, strange, notes = (sorted_out.pop(why, []) for why in ("", UNKNOWN, ANNOTATION))
    for why, entries in (*sorted_out.items(), (UNKNOWN, strange)):
        left_out.add(why, *(entry.name for entry in entries))
    if beside is None:
        left_out.add(ANNOTATION, *(entry.name for entry in notes))
    else:
        beside += notes
    if len(strange) >= max(1, len(readable)):
        raise formats.unknown(strange[0].name, tally(strange), layout)
    return readable


def _why(entry: Object, known: Collection[str], endings: set[str], layout: Layout) -> str:
    """Why an object is not data beside objects of these endings; '' if it is."""
    ending = suffix(entry.name)
    if layout.format != "auto":
        return ANNOTATION if layout.format == "idx" and ending == CLASSES else ""
    if entry.member or (entry.exact and ending in known):
        return ""
    if is_description(entry.name):
        return DESCRIPTION
    return _beside_data(entry.name, ending, known, endings, layout)


def _annotations(endings: Collection[str], layout: Layout) -> tuple[str, ...]:
    """The endings that mean annotations, where there are files of these endings."""
    known = formats.suffixes(layout.reads)
    held = formats.contents()
    media = {ending for name in layout.reads or () for ending in held.get(name, ())}
    if not media.intersection(endings):
        return (CLASSES,) if {known.get(ending) for ending in endings} == {"idx"} else ()
    return ANNOTATIONS


def members(found: Iterator[Stream], layout: Layout, passed: PassedOver) -> Iterator[Stream]:
    """A file, or the members of an archive that `sift` would take for data.

    Raises:
        DataError: if there are members, and none of a known ending.
    """
    known, endings = formats.suffixes(layout.reads), set[str]()
    late = ANNOTATIONS if set(layout.reads or ()) & formats.contents().keys() else ()  # if images follow
    strange, held = "", list[Stream]()
    for stream in found:
        if not stream.member:
            yield stream
            return
        if (is_documentation(stream.member) and stream.suffix in (*known, "")) or stream.suffix in late:
            held.append(replace(stream, file=stream.seekable()))
        elif is_description(stream.member):
            passed.add(DESCRIPTION, stream.name)
        elif stream.suffix in known:
            endings.add(stream.suffix)
            yield stream
        else:
            strange = stream.name
            passed.add(UNKNOWN, strange)
    for stream in held:
        why = _beside_data(stream.member, stream.suffix, known, endings, layout)
        strange = stream.name if why == UNKNOWN else strange
        with stream.file:
            if why:
                if why != ANNOTATION or not layout.joined:
                    passed.add(why, stream.name)
            else:
                endings.add(stream.suffix)
                yield stream
    if strange and not endings:
        raise formats.unknown(strange, suffix(strange), layout)


def _beside_data(name: str, ending: str, known: Collection[str], endings: set[str], layout: Layout) -> str:
    if is_documentation(name) and (endings - {ending} or ending not in known):
        return DOCUMENTATION
    if ending in _annotations(endings, layout):
        return ANNOTATION
    return "" if ending in known else UNKNOWN


def tally(found: Sequence[Object]) -> str:
    """How many objects have which ending: '2 of .docx, 1 of no ending'."""
    counts = Counter(suffix(entry.name) or "no ending" for entry in found).most_common(5)
    return ", ".join(f"{count:,} of {ending}" for ending, count in counts)
