"""Images: whether a task can be learnt as is asked, and whether the trunk has the layers that would learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest
from components.preflight.modalities import dials
from components.preflight.references import TASKS, Errors, declared

PROCESSOR = "model/preprocessor_config.json"


def objective(name: str, says: Mapping[str, Any], pretraining: Any) -> Errors:
    """Nothing: every network reads a whole image."""
    yield from ()


def warnings(pretraining: Any) -> Errors:
    """What may be meant so, but changes what is learnt."""
    cut = pretraining.micro_batch
    architecture = dials(pretraining)["architecture"]
    if 0 < cut < pretraining.global_batch // max(1, pretraining.nproc) and architecture in _norms():
        yield ConfigError(
            "batch norms see the images of one pass alone: it is not the trunk of the whole batch",
            where="pretraining.micro_batch", found=cut, expected=f"0 for {architecture}",
            fix="spread the batch over more processes, which share statistics, or take the architecture vit",
        )  # fmt: skip


def _norms() -> tuple[str, ...]:
    norms: tuple[str, ...] = plugins.declared("components.lib.models.vision", "architectures").constants[
        "BATCH_NORM"
    ]
    return norms


def task(config: Any, pretraining: Any, where: str) -> Errors:
    """Whether the task can be learnt so, and whether the trunk has the layers that would learn."""
    trunk, kind = dials(pretraining), declared(TASKS, config.kind)
    if config.mode == "knn" and kind and not kind.constants.get("NEIGHBOURS"):
        yield ConfigError(
            "the nearest images have no vote in this task", where=f"{where}.mode", found=config.mode,
            expected=f"full, partial or frozen for {config.kind}",
        )  # fmt: skip
    layers = _layers(trunk)
    if config.mode == "partial" and layers and config.layers > layers:
        yield ConfigError(
            "more layers would learn than the trunk has", where=f"{where}.layers", found=config.layers,
            expected=f"<= {layers} for {trunk['architecture']} {trunk['size']}",
            fix="mode: full lets everything learn",
        )  # fmt: skip


def follow(trunk: Manifest) -> dict[str, Any]:
    """The size, mean and deviation that its weights know."""
    return {"canvas": f"{trunk.uri}/{PROCESSOR}"} if PROCESSOR in trunk.names() else {}


def _layers(trunk: Mapping[str, Any]) -> int:
    """How many layers can be freed one by one; 0 if that is not known."""
    sizes: dict[str, Any] = plugins.declared("components.lib.models.vision", "architectures").constants
    found = sizes.get(str(trunk["architecture"]).upper(), {}).get(trunk["size"])
    if found is None:
        return 0
    if trunk["architecture"] == "vit":
        return int(found[0])
    return len(found[1] if trunk["architecture"] == "resnet" else found)
