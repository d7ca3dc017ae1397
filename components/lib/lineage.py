"""Where an output came from: the manifests behind it, as far back as the raw data."""

from __future__ import annotations

from components.lib.artifacts import Manifest
from components.lib.store import Store


def ancestors(store: Store, manifest: Manifest) -> dict[str, Manifest]:
    """Every manifest that `manifest` was made from, by stage, nearest first.

    The first one wins where a stage occurs twice (an evaluation's champion is another branch).

    Raises:
        MissingError: if the store does not hold one of them.
    """
    found: dict[str, Manifest] = {}
    waiting = [manifest]
    while waiting:
        for _, reference in sorted(waiting.pop(0).key.inputs.items()):
            parent = store.resolve(reference)
            if parent.key.stage not in found:
                found[parent.key.stage] = parent
                waiting.append(parent)
    return found
