"""Checks that span sections and plugins: what each allows by itself but no run can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from components.lib import modalities
from components.lib.core.errors import ConfigError
from components.preflight.public_weights.origin import is_reference
from components.preflight.references import MODES, OBJECTIVES, TASKS, Errors, declared


def check(
    stages: Mapping[str, Any], tasks: list[dict[str, Any]], published: Mapping[str, Any] | None = None
) -> Errors:
    """Every contradiction; a section that is None is reported already and skipped.

    Args:
        stages: stage -> its `Config`, or None.
        tasks: as `references.check` takes them.
        published: facts of the checkpoint that the trunk comes from. Before they are known, a trunk that is
            to come from one counts as able to do whatever some family of its modality can.
    """
    pretraining = stages["pretraining"]
    if pretraining is None:
        return
    finetuning = {f"tasks.{task['name']}.finetuning": task["finetuning"] for task in tasks}
    errors = list(_modalities(pretraining.modality, stages, finetuning))
    if errors:
        yield errors[0]
        return
    trunk = Trunk(pretraining, published)
    for name in pretraining.objective if pretraining.steps or pretraining.minutes else ():
        yield from _objective(name, trunk)
    if not pretraining.steps and not pretraining.minutes and not trunk.is_open and published is None:
        what, fix = "only published weights are taken as they are", "train, or name them by `start`"
        yield ConfigError(what, where="pretraining.steps", found=0, fix=fix)
    if pretraining.start in modalities.starts(pretraining.modality):
        yield from _needs((pretraining.start,), trunk, "pretraining.start")
        if not pretraining.steps and not pretraining.minutes:
            what, fix = "training makes this start", "steps: 1 with learning_rate: 0 keeps it as it is"
            yield ConfigError(what, where="pretraining.steps", found=0, expected="at least 1", fix=fix)
    for where, config in finetuning.items():
        if config is not None:
            yield from _task(config, trunk.part(config.modality), where)


def _modalities(name: str, stages: Mapping[str, Any], finetuning: Mapping[str, Any]) -> Errors:
    """Sections of another modality than the run's; a branch may be of a part of it."""
    for where, config in {**stages, **finetuning}.items():
        other = getattr(config, "modality", name)
        if other not in (name, *(modalities.parts(name) if where in finetuning else ())):
            yield ConfigError(
                "a run has one modality",
                where=f"{where}.modality",
                found=other,
                expected=name,
                fix="name it once, as `modality` beside the sections",
            )


def warnings(config: Any) -> Errors:
    """What a run can do, but may not be meant; `config` is a checked pretraining section."""
    yield from _asked(config, "warnings", config, modalities.dials(config.modality, config.trunk))


def _asked(pretraining: Any, hook: str, *arguments: Any) -> Errors:
    """What an optional hook of the modality's `preflight` has to say."""
    found = getattr(modalities.preflight(pretraining.modality), hook, None)
    yield from found(*arguments) if found else ()


class Trunk:
    """What the settings of pre-training, and published weights, say of a trunk."""

    def __init__(self, pretraining: Any, published: Mapping[str, Any] | None) -> None:
        self.pretraining, self.published = pretraining, published
        self.modality: str = pretraining.modality
        self.is_open = published is None and is_reference(pretraining.start)
        self.dials = {**modalities.dials(self.modality, pretraining.trunk), **(published or {})}

    def part(self, modality: str) -> Trunk:
        """The trunk that a branch of this modality comes from: this, or the part of it."""
        if modality == self.modality:
            return self
        options = self.pretraining.trunk.get(modality) or {}
        return Trunk(replace(self.pretraining, modality=modality, trunk=options), self.published)

    def lacks(self, needs: Sequence[str]) -> list[str]:
        """What of this neither the modality nor the network offers."""
        declared = modalities.load(self.modality)
        offered = modalities.offers(self.modality, self.pretraining.trunk)
        if self.published is not None:
            offered = {*declared.OFFERS, *self.published["capabilities"]}
        elif self.is_open:
            published = getattr(declared, "PUBLISHED", {})  # of someone else's package perhaps none
            offered = {*declared.OFFERS, *(one for able in published.values() for one in able)}
        return [need for need in needs if need not in offered]


def _objective(name: str, trunk: Trunk) -> Errors:
    """Whether the trunk and the batch are what the objective needs."""
    config = trunk.pretraining
    where = f"pretraining.objective.{name}"
    objective = declared(OBJECTIVES, name)
    if objective is None:
        return
    says = objective.constants
    yield from _needs(says["NEEDS"], trunk, where)
    if says.get("TEACHER") and not config.start and not (config.objective[name] or {}).get("teacher"):
        what = "there is nobody to learn from: a trunk that starts at random knows nothing"
        yield ConfigError(what, where=f"{where}.teacher", fix="name a teacher, or pretraining.start")
    share = config.global_batch // max(1, config.nproc)
    if says.get("WHOLE_BATCH") and 0 < config.micro_batch < share:
        yield ConfigError(
            "the objective compares the samples of a batch with each other, so it cannot be cut",
            where="pretraining.micro_batch",
            found=config.micro_batch,
            expected=f"0 for {name}",
        )


def _task(config: Any, trunk: Trunk, where: str) -> Errors:
    """Whether the trunk can be fine-tuned so."""
    task, mode = declared(TASKS, config.kind), declared(MODES, config.mode)
    if task is not None:
        yield from _needs(task.constants["NEEDS"], trunk, where)
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
    if trunk.is_open:
        return
    layers = getattr(modalities.preflight(trunk.modality), "layers", lambda dials: 0)(trunk.dials)
    asked = getattr(config.adaptation, "layers", 0)
    if layers and asked > layers:
        yield ConfigError(
            "more layers would learn than the trunk has",
            where=f"{where}.layers",
            found=asked,
            expected=f"<= {layers}",
            fix="mode: full lets everything learn",
        )
    yield from _asked(trunk.pretraining, "task", config, trunk.dials, where)


def _needs(needs: Sequence[str], trunk: Trunk, where: str) -> Errors:
    """Whether the modality, or the architecture of the trunk, offers what is needed."""
    name, pretraining, lacks = trunk.modality, trunk.pretraining, trunk.lacks(needs)
    if not lacks:
        return
    if trunk.published is not None:
        kind, others = trunk.published["model_type"], modalities.load(name).PUBLISHED
        able = [one for one in others if set(lacks) <= set(others[one])]
        yield ConfigError(
            f"the published weights do not offer {' and '.join(lacks)}",
            where=where,
            found=f"{pretraining.start}: {kind}",
            expected=f"weights of {', '.join(able)}" if able else "a trunk of your own",
            fix="choose another objective or task, or other weights",
        )
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
