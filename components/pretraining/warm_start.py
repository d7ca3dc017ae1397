"""The trunk that a training starts from: its weights, and the data that it and those before it have read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import REFERENCE
from components.lib.storage.store import Store


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
        manifest = store.resolve(trunk.key.inputs["tokens"])
        for name in shared:
            if manifest.facts.get(name) != present.facts.get(name):
                raise ConfigError(
                    "the trunk to start from reads other tokens", where="pretraining.start",
                    found=f"another {name}", expected="tokens as they were made for that trunk",
                    fix="leave out the settings of tokenization: preflight takes them from that trunk",
                )  # fmt: skip
        if manifest.reference not in [present.reference, *(one.reference for one in found)]:
            found.append(manifest)
        start = trunk.key.inputs.get("start", "")
    return found


def load(store: Store, start: str, modality: Any, trunk: nn.Module) -> None:
    """Gives `trunk` the weights of the trunk `start`, if there is one.

    Raises:
        ConfigError: if that is another network.
    """
    if not REFERENCE.fullmatch(start):
        return
    folder = store.open_folder(store.resolve(start), "model/")
    weights = modality.load(folder).state_dict()
    for name, value in trunk.state_dict().items():
        found = weights[name].shape if name in weights else None
        if found != value.shape:
            raise ConfigError(
                "the trunk to start from is another network", where="pretraining.trunk",
                found=f"{name} of {tuple(value.shape)}", expected=tuple(found or ()),
                fix="use the options of that trunk",
            )  # fmt: skip
    trunk.load_state_dict(weights)
