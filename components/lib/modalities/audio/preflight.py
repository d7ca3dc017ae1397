"""What only a run on audio can get wrong, and what it takes over from a trunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest

PROCESSOR = "model/preprocessor_config.json"


def warnings(pretraining: Any, dials: Mapping[str, Any]) -> Iterator[ConfigError]:
    """What may be meant so, but changes what is learnt."""
    cut, share = pretraining.micro_batch, pretraining.global_batch // max(1, pretraining.nproc)
    if 0 < cut < share and dials["architecture"] == "melcnn":
        yield ConfigError(
            "batch norms see the clips of one micro-batch alone: it is not the trunk of the whole batch",
            where="pretraining.micro_batch",
            found=cut,
            expected="0 for melcnn",
            fix="spread the batch over more processes, which share statistics, or take wav2vec2",
        )


def layers(dials: Mapping[str, Any]) -> int:
    """How many layers a trunk has that can be frozen one by one; 0 if that is not known."""
    if "layers" in dials:  # of published weights
        return int(dials["layers"])
    sizes = plugins.declared("components.lib.models.audio", "architectures").constants
    if dials["architecture"] == "melcnn":
        return len(sizes["MELCNN"][dials["size"]][0])
    return int(sizes["SIZES"][dials["size"]][0]) if dials["size"] in sizes["SIZES"] else 0


def published(trunk: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `pretraining.trunk` with published weights, which decide nothing of how views differ."""
    return dict(trunk)


def follow(trunk: Manifest) -> dict[str, Any]:
    """The sampling rate that its weights know."""
    return {"rates": f"{trunk.uri}/{PROCESSOR}"} if PROCESSOR in trunk.names() else {}
