"""Past decisions on a registered model, by its versions."""

from __future__ import annotations

import json
from typing import Any

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.registry.registered_models import Registry
from components.lib.storage.store import Store

DECISION = "trunkline.decision"  # tag of a version: the reference of what judged it


def decisions(store: Store, registry: Registry, name: str) -> list[dict[str, Any]]:
    """What was decided on each version of a model, in order, as far as the store still holds it.

    Returns:
        The task's part of each decision.json, with its `version`.
    """
    found = []
    for version in registry.of(name):
        try:
            manifest = store.resolve(version.tags[DECISION])
            decided = json.loads(store.open(manifest, "decision.json").read_bytes())
        except (KeyError, MissingError, IntegrityError):
            continue
        found += [{**task, "version": version.version} for task in decided["tasks"] if task["model"] == name]
    return found
