"""What is there, what was extracted before, and what is left to read. Lists only, imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.data.sources import Object, find
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Store

PACK_BYTES = 64 << 20  # of raw input in a pack of small objects; a bigger object has a pack of its own
PACK_OBJECTS = 4096


@dataclass(frozen=True)
class Slice:
    """The rows of one source inside a pack.

    Attributes:
        index: the source's number in the pack.
        offset: its first row.
        source: what the pack states of it: name, identity, sha256, bytes, rows, quarantined, and `lost`, the
            reason, if it could not be decoded to its end.
    """

    pack: Manifest
    index: int
    offset: int
    source: dict[str, Any]


def survey(uris: Sequence[str]) -> list[Object]:
    """Every object behind the URIs, once, sorted by name."""
    found: dict[str, Object] = {}
    for entry in (entry for uri in uris for entry in find(uri)):
        other = found.setdefault(entry.name, entry)
        if other.identity != entry.identity:
            what = "two sources have the same name but another content"
            raise ConfigError(what, where=entry.name, found=f"{other.identity} and {entry.identity}")
    return [found[name] for name in sorted(found)]


def known(store: Store, stage: str) -> dict[tuple[str, str], Slice]:
    """What the packs of a stage hold, by name and identity of the source."""
    held = {}
    for key in store.objects.keys(f"{stage}/"):
        _, digest, *rest = key.split("/")
        if rest == ["manifest.json"]:
            manifest = store.lookup(stage, digest)
            assert manifest is not None
            held.update({(part.source["name"], part.source["identity"]): part for part in slices(manifest)})
    return held


def slices(pack: Manifest) -> Iterator[Slice]:
    """The sources of a pack in its order."""
    offset = 0
    for index, source in enumerate(pack.facts["sources"]):
        yield Slice(pack, index, offset, source)
        offset += source["rows"]


def references(parts: Sequence[Slice], evaluations: Sequence[Manifest]) -> list[str]:
    """What the next run need not read again: it is kept as long as the corpus (lib/registry/retention)."""
    packs = {id(part.pack): part.pack for part in parts}  # thousands of parts share one
    return sorted({held.reference for held in (*packs.values(), *evaluations)})


def groups(objects: Sequence[Object]) -> Iterator[list[Object]]:
    """Objects dealt to packs: small ones together, in the order of their names."""
    group: list[Object] = []
    size = 0
    for entry in objects:
        if entry.size >= PACK_BYTES:
            yield [entry]
            continue
        group.append(entry)
        size += max(entry.size, 0)
        if size >= PACK_BYTES or len(group) >= PACK_OBJECTS:
            yield group
            group, size = [], 0
    if group:
        yield group


def pack_key(stage: str, version: int, config: dict[str, Any], objects: Sequence[Object]) -> Key:
    """The key of a pack of these objects."""
    listing = [[entry.name, entry.identity] for entry in objects]
    return Key(stage, version, config, {"objects": artifacts.sha256(artifacts.canonical(listing))})
