"""What only a run on images can get wrong: batch norms that see a part of the batch, too few layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest

PROCESSOR = "model/preprocessor_config.json"


def warnings(pretraining: Any, dials: Mapping[str, Any]) -> Iterator[ConfigError]:
    """What may be meant so, but changes what is learnt."""
    cut = pretraining.micro_batch
    architecture = dials["architecture"]
    norms = _architectures()["BATCH_NORM"]
    if 0 < cut < pretraining.global_batch // max(1, pretraining.nproc) and architecture in norms:
        yield ConfigError(
            "batch norms see the images of one micro-batch alone: it is not the trunk of the whole batch",
            where="pretraining.micro_batch",
            found=cut,
            expected=f"0 for {architecture}",
            fix="spread the batch over more processes, which share statistics, or take the architecture vit",
        )


def layers(dials: Mapping[str, Any]) -> int:
    """How many layers a trunk has that can be frozen one by one; 0 if that is not known."""
    if "model_type" in dials:  # of published weights: they are not counted
        return 0
    found = _architectures().get(str(dials["architecture"]).upper(), {}).get(dials["size"])
    if found is None:
        return 0
    if dials["architecture"] == "vit":
        return int(found[0])
    return len(found[1] if dials["architecture"] == "resnet" else found)


def published(trunk: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `pretraining.trunk` with published weights, which decide nothing of how views differ."""
    return dict(trunk)


def follow(trunk: Manifest) -> dict[str, Any]:
    """The size, mean and deviation that its weights know."""
    return {"canvas": f"{trunk.uri}/{PROCESSOR}"} if PROCESSOR in trunk.names() else {}


def _architectures() -> dict[str, Any]:
    return plugins.declared("components.lib.models.vision", "architectures").constants
