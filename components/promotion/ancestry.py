"""Everything a run's outputs were made from, as far as the store still holds it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

REFERENCE = re.compile(r"[^/#]+/[0-9a-f]{32}#[0-9a-f]{64}")


@dataclass(frozen=True)
class Ancestor:
    """One output. `manifest` is None where the store does not hold it; `problem` says why."""

    reference: str
    manifest: Manifest | None
    problem: str = ""

    @property
    def stage(self) -> str:
        """The stage that made it."""
        return self.reference.partition("/")[0]


def trace(store: Store, manifests: list[Manifest]) -> list[Ancestor]:
    """The manifests and all that they were made from, each once, the raw data's first.

    Inputs that are no references (digests of raw files) end a line of descent.
    """
    found: dict[str, Ancestor] = {m.reference: Ancestor(m.reference, m) for m in manifests}
    waiting = list(manifests)
    while waiting:
        for _, reference in sorted(waiting.pop(0).key.inputs.items()):
            if reference in found or not REFERENCE.fullmatch(reference):
                continue
            ancestor = _resolve(store, reference)
            found[reference] = ancestor
            if ancestor.manifest is not None:
                waiting.append(ancestor.manifest)
    return _ordered(list(found.values()))


def of_stage(ancestors: list[Ancestor], stage: str) -> Manifest | None:
    """The first manifest of a stage that the store holds."""
    return next((a.manifest for a in ancestors if a.stage == stage and a.manifest is not None), None)


def _resolve(store: Store, reference: str) -> Ancestor:
    try:
        return Ancestor(reference, store.resolve(reference))
    except (MissingError, IntegrityError) as error:
        return Ancestor(reference, None, error.what)


def _ordered(ancestors: list[Ancestor]) -> list[Ancestor]:
    """Parents before children; what is equally deep keeps its order."""
    known = {ancestor.reference: ancestor for ancestor in ancestors}

    def depth(reference: str) -> int:
        ancestor = known.get(reference)
        if ancestor is None or ancestor.manifest is None:
            return 0
        return 1 + max((depth(parent) for parent in ancestor.manifest.key.inputs.values()), default=0)

    return sorted(ancestors, key=lambda ancestor: depth(ancestor.reference))
