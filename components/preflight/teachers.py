"""Teachers of a run: what objectives learn from becomes references, and texts are read as they read them."""

from __future__ import annotations

from typing import Any

from components.lib import modalities
from components.lib.core.errors import ConfigError, MissingError, TrunklineError
from components.lib.registry.registered_models import Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import REFERENCE
from components.lib.storage.stage import Context
from components.preflight.plan import PUBLIC, Plan
from components.preflight.public_weights.origin import is_reference
from components.preflight.references import OBJECTIVES, declared

READER = "model/tokenizer.json"


def settle(context: Context, plan: Plan) -> None:
    """Changes the settings of stages in place; what pre-training starts from is settled before.

    Raises:
        MissingError: if there is no such trunk.
        ConfigError: if it reads other tokens than what pre-training starts from, or shorter rows.
        TrunklineError: as `public_weights.keeping.obtain` does.
    """
    pretraining = plan.stages["pretraining"]
    for name, options in pretraining["objective"].items():
        plugin, wanted = declared(OBJECTIVES, name), (options or {}).get("teacher", "")
        if plugin is None or not plugin.constants.get("TEACHER") or not wanted:
            continue
        where = f"pretraining.objective.{name}.teacher"
        try:
            teacher = _find(context, plan, wanted)
        except TrunklineError as error:
            error.where = error.where or where
            raise
        options["teacher"] = teacher.reference
        _follow(context, plan, teacher, where)
        print(f"preflight: {name} learns from {wanted}", flush=True)


def _find(context: Context, plan: Plan, wanted: str) -> Manifest:
    if is_reference(wanted):
        from components.preflight.public_weights.keeping import obtain

        manifest, reused = obtain(context.store, wanted, plan.stages["pretraining"]["modality"])
        context.record(manifest, reused=reused)
        return manifest
    if REFERENCE.fullmatch(wanted):
        return context.store.resolve(wanted)
    model = plan.stages["registration"]["name"]
    found = Registry(context.tracking_uri).find(model, wanted)
    if found is None:
        fix = "name published weights, or train and promote a trunk first"
        raise MissingError("there is no trunk to learn from", found=f"{model}@{wanted}", fix=fix)
    return context.store.resolve(found.reference)


def _follow(context: Context, plan: Plan, teacher: Manifest, where: str) -> None:
    pretraining: dict[str, Any] = plan.stages["pretraining"]
    modality = pretraining["modality"]
    adapted = modalities.preflight(modality)
    if teacher.key.stage == PUBLIC:  # only its check: how the trunk reads is the trunk's
        adapted.published(modalities.dials(modality, pretraining["trunk"]), teacher.facts)
    if not plan.start or not REFERENCE.fullmatch(plan.start):
        plan.stages["tokenization"].update(adapted.follow(teacher))
        return
    start = context.store.resolve(plan.start)
    readers = [one.file(READER).sha256 for one in (start, teacher) if READER in one.names()]
    if len(set(readers)) > 1:
        raise ConfigError(
            "the teacher reads other tokens than the trunk to start from",
            where=where,
            fix="take a teacher with the same tokenizer, or start from random weights",
        )
