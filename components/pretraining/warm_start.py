"""The trunk that a training starts from: its weights, and the data that it and those before it have read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.core.hardware import check_memory
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import REFERENCE
from components.lib.storage.store import Store

PUBLIC = "public"  # stage of a published checkpoint in the store
BYTES = 4  # of a weight, in fp32


def tokens(store: Store, start: str, present: Manifest, shared: Sequence[str]) -> list[Manifest]:
    """What the trunk `start`, and those that it started from, were trained on, latest first; [] without one.

    Args:
        start: reference of a trunk, or else no trunk at all.
        present: the tokens of this run.
        shared: facts that tokens of both must have in common.

    Raises:
        ConfigError: if they were made by another tokenizer, or have another shape.
    """
    found: list[Manifest] = []
    while REFERENCE.fullmatch(start):
        trunk = store.resolve(start)
        if trunk.key.stage == PUBLIC:  # nobody knows what it was trained on
            break
        manifest = store.resolve(trunk.key.inputs["tokens"])
        for name in shared:
            if manifest.facts.get(name) != present.facts.get(name):
                raise ConfigError(
                    "the trunk to start from reads other tokens",
                    where="pretraining.start",
                    found=f"another {name}",
                    expected="tokens as they were made for that trunk",
                    fix="leave out the settings of tokenization: preflight takes them from that trunk",
                )
        if manifest.reference not in [present.reference, *(one.reference for one in found)]:
            found.append(manifest)
        start = trunk.key.inputs.get("start", "")
    return found


def teachers(store: Store, objective: Mapping[str, Any], samples: Any) -> dict[str, Any]:
    """The trunks that objectives learn from, by the name of the objective.

    Raises:
        ConfigError: as `trunk` does, or for a name that preflight did not turn into a reference.
    """
    named = {name: (options or {}).get("teacher", "") for name, options in objective.items()}
    for name, teacher in named.items():
        if teacher and not REFERENCE.fullmatch(teacher):
            where = f"pretraining.objective.{name}.teacher"
            raise ConfigError("a teacher is not a reference of a trunk", where=where, found=teacher)
    return {name: trunk(store, teacher, samples) for name, teacher in named.items() if teacher}


def trunk(store: Store, start: str, samples: Any) -> Any:
    """The trunk that reads `samples`: that of `start`, or a new one with random weights.

    Raises:
        ConfigError: if it cannot read them, or there is less memory than its weights need.
    """
    if not REFERENCE.fullmatch(start):
        return samples.trunk()
    manifest = store.resolve(start)
    check_memory(BYTES * int(manifest.facts.get("parameters", 0)), "pretraining.start")
    return samples.trunk(store.open_folder(manifest, "model/"))


def published(store: Store, start: str) -> dict[str, Any]:
    """What is told of the published weights behind a trunk, however many trainings ago; {} of none."""
    manifest = store.resolve(start) if REFERENCE.fullmatch(start) else None
    if manifest is None or manifest.key.stage != PUBLIC:
        return dict(manifest.facts.get("public", {})) if manifest else {}
    told = {name: manifest.facts[name] for name in ("license", "model_type", "types", "head", "idle")}
    return {**manifest.key.config, **told, "manifest": manifest.reference}
