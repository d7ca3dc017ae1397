"""Where an output came from: the manifests behind it, as far back as the raw data."""

from __future__ import annotations

import re

from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

REFERENCE = re.compile(r"[^/#]+/[0-9a-f]{32}#[0-9a-f]{64}")  # Manifest.reference


def ancestors(store: Store, manifest: Manifest) -> dict[str, Manifest]:
    """Every manifest that `manifest` was made from, by stage, nearest first.

    The first one wins where a stage occurs twice (an evaluation's champion is another branch). Inputs that
    are no references (ingestion's digest of the raw files) end a line of descent.

    Raises:
        MissingError: if the store does not hold one of them.
    """
    found: dict[str, Manifest] = {}
    waiting = [manifest]
    while waiting:
        inputs = sorted(waiting.pop(0).key.inputs.items())
        for reference in (text for _, text in inputs if REFERENCE.fullmatch(text)):
            parent = store.resolve(reference)
            if parent.key.stage not in found:
                found[parent.key.stage] = parent
                waiting.append(parent)
    return found
