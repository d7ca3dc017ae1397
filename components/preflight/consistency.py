"""Checks that span sections and plugins: what each allows by itself but no run can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib import plugins
from components.lib.errors import ConfigError
from components.preflight.references import MODALITIES, OBJECTIVES, TASKS, Errors, declared


def check(stages: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Errors:
    """Every contradiction; a section that is None is reported already and skipped."""
    pretraining = stages["pretraining"]
    if pretraining is None:
        return
    for name in pretraining.objective:
        yield from _objective(name, pretraining)
    for task in tasks:
        if task["finetuning"] is not None:
            yield from _task(task["finetuning"], pretraining, f"tasks.{task['name']}.finetuning")


def _objective(name: str, config: Any) -> Errors:
    """Whether the trunk and the batch are what the objective needs."""
    where = f"pretraining.objective.{name}"
    objective = declared(OBJECTIVES, name)
    if objective is None:
        return
    says = objective.constants
    yield from _modality(says["MODALITIES"], config.modality, where)
    causal, architecture = _architectures()["CAUSAL"], dials(config)["architecture"]
    if "CAUSAL" in says and says["CAUSAL"] != (architecture in causal):
        side = "one that sees only what came before" if says["CAUSAL"] else "one that sees both sides"
        yield ConfigError(
            "the objective does not fit the architecture", where=where, found=architecture, expected=side,
            fix=f"set pretraining.trunk.architecture; those that look back only: {', '.join(causal)}",
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
    trunk = dials(pretraining)
    longest = max(512, trunk["sequence_length"])
    if config.max_length > longest:
        yield ConfigError(
            "inputs would be longer than the trunk has positions", where=f"{where}.max_length",
            found=config.max_length, expected=f"<= {longest}",
            fix="cut inputs, or raise pretraining.trunk.sequence_length",
        )  # fmt: skip
    layers = _architectures()["SIZES"].get(trunk["size"], (1 << 30,))[0]
    if config.unfreeze > layers:
        yield ConfigError(
            "more layers would learn than the trunk has", where=f"{where}.unfreeze", found=config.unfreeze,
            expected=f"<= {layers} for size {trunk['size']}", fix="-1 lets everything learn",
        )  # fmt: skip


def _modality(takes: tuple[str, ...], modality: str, where: str) -> Errors:
    if modality not in takes:
        expected = ", ".join(takes)
        yield ConfigError("the modality does not fit", where=where, found=modality, expected=expected)


def dials(pretraining: Any) -> dict[str, Any]:
    """The trunk's options, with the modality's defaults."""
    modality = declared(MODALITIES, pretraining.modality)
    fields = modality.config.__dataclass_fields__ if modality and modality.config else {}
    return {**{name: field.default for name, field in fields.items()}, **pretraining.trunk}


def _architectures() -> dict[str, Any]:
    """Constants of the text trunks: which are causal, how many layers a size has."""
    return plugins.declared("components.lib", "architectures").constants
