"""Checks that span sections and plugins: what each allows by itself but no run can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib import modalities
from components.lib.core.errors import ConfigError
from components.preflight.references import MODES, OBJECTIVES, TASKS, Errors, declared


def check(stages: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Errors:
    """Every contradiction; a section that is None is reported already and skipped."""
    pretraining = stages["pretraining"]
    if pretraining is None:
        return
    finetuning = {f"tasks.{task['name']}.finetuning": task["finetuning"] for task in tasks}
    for name, config in {**stages, **finetuning}.items():
        other = getattr(config, "modality", pretraining.modality)
        if other != pretraining.modality:
            yield ConfigError(
                "a run has one modality",
                where=f"{name}.modality",
                found=other,
                expected=pretraining.modality,
                fix="name it once, as `modality` beside the sections",
            )
            return
    for name in pretraining.objective:
        yield from _objective(name, pretraining)
    if pretraining.start in modalities.starts(pretraining.modality):
        yield from _needs((pretraining.start,), pretraining, "pretraining.start")
    for where, config in finetuning.items():
        if config is not None:
            yield from _task(config, pretraining, where)


def warnings(config: Any) -> Errors:
    """What a run can do, but may not be meant; `config` is a checked pretraining section."""
    yield from _asked(config, "warnings", config, modalities.dials(config.modality, config.trunk))


def _asked(pretraining: Any, hook: str, *arguments: Any) -> Errors:
    """What an optional hook of the modality's `preflight` has to say."""
    found = getattr(modalities.preflight(pretraining.modality), hook, None)
    yield from found(*arguments) if found else ()


def _objective(name: str, config: Any) -> Errors:
    """Whether the trunk and the batch are what the objective needs."""
    where = f"pretraining.objective.{name}"
    objective = declared(OBJECTIVES, name)
    if objective is None:
        return
    says = objective.constants
    yield from _needs(says["NEEDS"], config, where)
    share = config.global_batch // max(1, config.nproc)
    if says.get("WHOLE_BATCH") and 0 < config.micro_batch < share:
        yield ConfigError(
            "the objective compares the samples of a batch with each other, so it cannot be cut",
            where="pretraining.micro_batch",
            found=config.micro_batch,
            expected=f"0 for {name}",
        )


def _task(config: Any, pretraining: Any, where: str) -> Errors:
    """Whether the trunk can be fine-tuned so."""
    task, mode = declared(TASKS, config.kind), declared(MODES, config.mode)
    dials = modalities.dials(pretraining.modality, pretraining.trunk)
    if task is not None:
        yield from _needs(task.constants["NEEDS"], pretraining, where)
    if task is not None and mode is not None:
        lacks = [need for need in mode.constants["NEEDS"] if need not in task.constants["OFFERS"]]
        if lacks:
            yield ConfigError(
                "the task cannot be learnt in this mode",
                where=f"{where}.mode",
                found=config.mode,
                expected=f"a task that offers {' and '.join(lacks)}; {config.kind} does not",
                fix="mode: partial with layers: 0 trains the head alone",
            )
    layers = getattr(modalities.preflight(pretraining.modality), "layers", lambda dials: 0)(dials)
    asked = getattr(config.adaptation, "layers", 0)
    if layers and asked > layers:
        yield ConfigError(
            "more layers would learn than the trunk has",
            where=f"{where}.layers",
            found=asked,
            expected=f"<= {layers}",
            fix="mode: full lets everything learn",
        )
    yield from _asked(pretraining, "task", config, dials, where)


def _needs(needs: Sequence[str], pretraining: Any, where: str) -> Errors:
    """Whether the modality, or the architecture of the trunk, offers what is needed."""
    name = pretraining.modality
    lacks = [need for need in needs if need not in modalities.offers(name, pretraining.trunk)]
    if not lacks:
        return
    architectures = modalities.load(name).ARCHITECTURES
    able = [one for one in architectures if set(needs) <= modalities.offers(name, {"architecture": one})]
    others = [one for one in modalities.names() if one != name and _able(one, needs)]
    yield ConfigError(
        f"the trunk does not offer {' and '.join(lacks)}",
        where=where,
        found=f"modality {name}, {modalities.dials(name, pretraining.trunk).get('architecture', '')}".rstrip(
            ", "
        ),
        expected=f"architecture {' or '.join(able)}"
        if able
        else f"modality {' or '.join(others) or 'of your own'}",
        fix=f"set pretraining.trunk.architecture to {able[0]}"
        if able
        else "choose another objective or task",
    )


def _able(modality: str, needs: Sequence[str]) -> bool:
    """Whether a modality offers all of this with some architecture."""
    architectures = modalities.load(modality).ARCHITECTURES or {"": ()}
    return any(set(needs) <= modalities.offers(modality, {"architecture": one}) for one in architectures)
