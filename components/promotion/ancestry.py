"""Lineage of a whole run, for its report: what the store no longer holds is named, not missed."""

from __future__ import annotations

from dataclasses import dataclass

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import inputs, walk
from components.lib.storage.store import Store


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
    """The manifests and all that they were made from, each once, the raw data's first."""
    found = {manifest.reference: Ancestor(manifest.reference, manifest) for manifest in manifests}

    def parents(child: str) -> list[str]:
        if child not in found:
            found[child] = _resolve(store, child)
        manifest = found[child].manifest
        return inputs(manifest) if manifest else []

    return _ordered([found[reference] for reference in list(walk(list(found), parents))])


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
