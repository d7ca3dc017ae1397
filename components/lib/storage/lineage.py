"""Lineage: the manifests behind an output, as far back as the raw data."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

REFERENCE = re.compile(r"(?P<place>[^/#]+/[0-9a-f]{32})#[0-9a-f]{64}")  # Manifest.reference
T = TypeVar("T")


def walk(roots: Iterable[T], parents: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Breadth-first traversal: the roots and all that they lead to, each once."""
    seen = dict.fromkeys(roots)
    waiting = deque(seen)
    while waiting:
        yield (here := waiting.popleft())
        for parent in parents(here):
            if parent not in seen:
                seen[parent] = None
                waiting.append(parent)


def inputs(manifest: Manifest) -> list[str]:
    """References of what it was made from; the rest (digests of raw files) end a line of descent."""
    return [text for _, text in sorted(manifest.key.inputs.items()) if REFERENCE.fullmatch(text)]


def ancestors(store: Store, manifest: Manifest) -> dict[str, Manifest]:
    """Every manifest that `manifest` was made from, by stage, nearest first.

    The first one wins where a stage occurs twice (an evaluation's champion is another branch).

    Raises:
        MissingError: if the store does not hold one of them.
    """
    known, found = {manifest.reference: manifest}, dict[str, Manifest]()

    def parents(child: str) -> Iterator[str]:
        for reference in inputs(known[child]):
            parent = store.resolve(reference)
            if parent.key.stage not in found:
                found[parent.key.stage] = known[reference] = parent
                yield reference

    for _ in walk(list(known), parents):
        pass
    return found
