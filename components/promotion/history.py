"""Past decisions on a registered model, by its versions, and the versions of the test set that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.registry.registered_models import Registry
from components.lib.storage.store import Store

DECISION = "trunkline.decision"  # tag of a version: the reference of what judged it


def decisions(store: Store, registry: Registry, name: str) -> list[dict[str, Any]]:
    """What was decided on each version of a model, in order, as far as the store still holds it.

    Returns:
        The task's part of each decision.json, with its `version` and `date`, the day it was registered (UTC).
    """
    found = []
    for version in registry.of(name):
        try:
            manifest = store.resolve(version.tags[DECISION])
            decided = json.loads(store.open(manifest, "decision.json").read_bytes())
        except (KeyError, MissingError, IntegrityError):
            continue
        more = {"version": version.version, "date": _day(version.created)}
        found += [task | more for task in decided["tasks"] if task["model"] == name]
    return found


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()


def test_sets(store: Store, life: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The versions of the test set: fresh examples that join, and what else changes it, begin a new one.

    Args:
        life: every decision on a model, in order.

    Returns:
        {"since": the day of its first decision, "examples", "fresh": examples that the version before did
        not have, None where that is not known, "decisions"} of each.
    """
    found: dict[Any, dict[str, Any]] = {}
    before: set[str] | None = set()
    for one in life:
        known = found.get(one["test_set"])
        if known is None:
            ids = _ids(store, one["branch"])
            fresh = None if ids is None or before is None else len(ids - before)
            examples = None if ids is None else len(ids)
            known = {"since": one.get("date"), "examples": examples, "fresh": fresh, "decisions": 0}
            before = ids
        known["decisions"] += 1
        found[one["test_set"]] = known
    return list(found.values())


def _ids(store: Store, branch: str) -> set[str] | None:
    """The ids of the frozen examples of a branch, if the store still holds them."""
    try:
        table = pq.read_table(store.open(store.resolve(branch), "examples.parquet"), columns=["id"])
    except (MissingError, IntegrityError):
        return None
    return set(table.column("id").to_pylist())
