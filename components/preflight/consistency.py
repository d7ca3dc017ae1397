"""Checks that span stages and plugins: what each section allows by itself but no run can do.

Plugins are read, not imported: preflight runs where there is no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.lib import plugins
from components.lib.config import from_dict
from components.lib.errors import ConfigError, ConfigErrors, TrunklineError
from components.lib.plugins import Declaration

OBJECTIVES = "components.pretraining.objectives"
MODALITIES = "components.lib.modalities"
TASKS = "components.lib.tasks"


def check(stages: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Iterator[TrunklineError]:
    """Every contradiction; a section that is None is reported already and skipped here.

    Args:
        stages: stage -> its `Config`, or None.
        tasks: `{"name", "finetuning": Config | None, "evaluation": Config | None}`.
    """
    pretraining = stages["pretraining"]
    if pretraining is not None:
        yield from _trunk(pretraining)
        for name, options in pretraining.objective.items():
            yield from _objective(name, options, pretraining)
    for task in tasks:
        if task["finetuning"] is not None:
            where = f"tasks.{task['name']}.kind"
            yield from _declared(TASKS, task["finetuning"].kind, where)[1]


def _trunk(config: Any) -> Iterator[TrunklineError]:
    modality, errors = _declared(MODALITIES, config.modality, "pretraining.modality")
    yield from errors
    if modality is not None:
        yield from _options(modality, config.trunk, "pretraining.trunk")


def _objective(name: str, options: Any, config: Any) -> Iterator[TrunklineError]:
    where = f"pretraining.objective.{name}"
    objective, errors = _declared(OBJECTIVES, name, where)
    yield from errors
    if objective is None:
        return
    own = dict(options) if isinstance(options, Mapping) else {}
    weight = own.pop("weight", 1.0)
    if not isinstance(options, Mapping):
        yield ConfigError("the options of an objective are a mapping", where=where, found=repr(options))
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < float("inf"):
        yield ConfigError("a weight is a number above 0", where=f"{where}.weight", found=repr(weight))
    yield from _options(objective, own, where)
    says = objective.constants
    if config.modality not in says["MODALITIES"]:
        expected = ", ".join(says["MODALITIES"])
        yield ConfigError("the objective does not take the modality", where=where, found=config.modality,
                          expected=expected)  # fmt: skip
    yield from _direction(says, config, where)
    share = config.global_batch // max(config.nproc, 1)
    if says.get("WHOLE_BATCH") and config.micro_batch not in (0, share):
        yield ConfigError(
            "the objective compares all samples of a process's batch, so it cannot be cut",
            where="pretraining.micro_batch", found=config.micro_batch, expected=f"0 for {name}",
        )  # fmt: skip


def _direction(says: Mapping[str, Any], config: Any, where: str) -> Iterator[TrunklineError]:
    """An objective that needs a causal trunk, or one that sees both sides, gets it."""
    causal = plugins.declared("components.lib", "architectures").constants["CAUSAL"]
    architecture = config.trunk.get("architecture")
    if "CAUSAL" in says and architecture is not None and says["CAUSAL"] != (architecture in causal):
        side = "one that sees only what came before" if says["CAUSAL"] else "one that sees both sides"
        yield ConfigError(
            "the objective does not fit the architecture", where=where, found=architecture, expected=side,
            fix=f"causal architectures are {', '.join(causal)}",
        )  # fmt: skip


def _options(plugin: Declaration, options: Mapping[str, Any], where: str) -> Iterator[TrunklineError]:
    """What the plugin's own `Config` finds wrong."""
    try:
        if plugin.config is not None:
            from_dict(plugin.config, options, where)
    except ConfigErrors as error:
        yield from error.errors


def _declared(package: str, name: str, where: str) -> tuple[Declaration | None, list[TrunklineError]]:
    """What a plugin says of itself, or the error that there is no such plugin."""
    try:
        return plugins.declared(package, name), []
    except ConfigError as error:
        error.where = where
        return None, [error]
