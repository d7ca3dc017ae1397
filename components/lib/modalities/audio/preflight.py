"""What only a run on audio can get wrong, and what it takes over from a trunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.storage.artifacts import Manifest

PROCESSOR = "model/preprocessor_config.json"


def layers(dials: Mapping[str, Any]) -> int:
    """How many layers a trunk has that can be frozen one by one; 0 if that is not known."""
    if "layers" in dials:  # of published weights
        return int(dials["layers"])
    sizes = plugins.declared("components.lib.models.audio", "architectures").constants["SIZES"]
    return int(sizes[dials["size"]][0]) if dials["size"] in sizes else 0


def published(trunk: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `pretraining.trunk` with published weights, which decide nothing of how views differ."""
    return dict(trunk)


def follow(trunk: Manifest) -> dict[str, Any]:
    """The sampling rate that its weights know."""
    return {"rates": f"{trunk.uri}/{PROCESSOR}"} if PROCESSOR in trunk.names() else {}
