"""Checks that span sections and plugins: what each allows by itself but no run can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import ConfigError
from components.preflight import modalities
from components.preflight.references import OBJECTIVES, TASKS, Errors, declared


def check(stages: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Errors:
    """Every contradiction; a section that is None is reported already and skipped."""
    pretraining = stages["pretraining"]
    if pretraining is None:
        return
    for name, config in {
        **stages,
        **{f"tasks.{task['name']}.finetuning": task["finetuning"] for task in tasks},
    }.items():
        other = getattr(config, "modality", pretraining.modality)
        if other != pretraining.modality:
            fix = "name it once, as `modality` beside the sections"
            yield ConfigError(
                "a run has one modality",
                where=f"{name}.modality",
                found=other,
                expected=pretraining.modality,
                fix=fix,
            )
    for name in pretraining.objective:
        yield from _objective(name, pretraining)
    for task in tasks:
        if task["finetuning"] is not None:
            yield from _task(task["finetuning"], pretraining, f"tasks.{task['name']}.finetuning")


def warnings(config: Any) -> Errors:
    """What a run can do, but may not be meant; `config` is a checked pretraining section."""
    yield from modalities.load(config.modality).warnings(config)


def _objective(name: str, config: Any) -> Errors:
    """Whether the trunk and the batch are what the objective needs."""
    where = f"pretraining.objective.{name}"
    objective = declared(OBJECTIVES, name)
    if objective is None:
        return
    says = objective.constants
    yield from _modality(says["MODALITIES"], config.modality, where)
    yield from modalities.load(config.modality).objective(name, says, config)
    architecture = modalities.dials(config)["architecture"]
    if architecture not in says.get("ARCHITECTURES", (architecture,)):
        yield ConfigError(
            "the objective does not fit the architecture", where=where, found=architecture,
            expected=" or ".join(says["ARCHITECTURES"]), fix="set pretraining.trunk.architecture",
        )  # fmt: skip
    share = config.global_batch // max(1, config.nproc)
    if says.get("WHOLE_BATCH") and 0 < config.micro_batch < share:
        yield ConfigError(
            "the objective compares the samples of a batch with each other, so it cannot be cut",
            where="pretraining.micro_batch", found=config.micro_batch, expected=f"0 for {name}",
        )  # fmt: skip


def _task(config: Any, pretraining: Any, where: str) -> Errors:
    """Whether the trunk can be fine-tuned so."""
    task = declared(TASKS, config.kind)
    if task is not None:
        yield from _modality(task.constants["MODALITIES"], pretraining.modality, where)
    yield from modalities.load(pretraining.modality).task(config, pretraining, where)


def _modality(takes: tuple[str, ...], modality: str, where: str) -> Errors:
    if modality not in takes:
        expected = ", ".join(takes)
        yield ConfigError("the modality does not fit", where=where, found=modality, expected=expected)
